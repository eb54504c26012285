"""Retries what the database would not take at once."""

import asyncio
from collections.abc import Awaitable, Callable

RETRY_S = 1.0


async def retry_until_cancelled(retry: Callable[[], Awaitable[None]]) -> None:
    """Calls `retry` every RETRY_S seconds. Raises: what it raises."""
    while True:
        await asyncio.sleep(RETRY_S)
        await retry()
