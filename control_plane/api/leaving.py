"""Noticing a client that leaves while its answer has not begun: nobody reads the socket for a route that only waits."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")


class ClientLeft(Exception):
    """The client closed the connection; there is nobody to answer."""


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled and awaited when the client leaves first. Raises: ClientLeft.

    The body must have been read before.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
            if working.cancelled():
                raise ClientLeft
        return working.result()
    except asyncio.CancelledError:
        working.cancel()
        await asyncio.wait({working})
        raise
    finally:
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
