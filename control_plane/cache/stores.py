"""Where answers are kept: in Redis for all servers, or in this process. Twins: the same names, the same bytes."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from cachetools import TLRUCache
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PREFIX = "control-plane:answers:1:"
"""With the version of what is kept: another one neither reads nor overwrites it."""

ANSWER_S = 0.25
"""Longer is slower than no cache at all."""

PROCESS_BYTES = 64_000_000
"""What one process keeps at most; the answers that nobody asked for lately give way."""


class StoreUnavailable(Exception):
    """Redis did not answer in time, or not at all."""


class Store(Protocol):
    """Keeps bytes under a name for a while. Raises: StoreUnavailable."""

    async def get(self, name: str) -> bytes | None:
        """What is kept; None when nothing is, or not any more."""

    async def put(self, name: str, kept: bytes, *, ttl_s: float) -> None:
        """Keeps it for so long."""

    async def aclose(self) -> None:
        """Lets go of it."""


class SharedStore:
    """In Redis."""

    def __init__(self, url: str) -> None:
        """Raises: ValueError for an address that is none."""
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=None,  # `ANSWER_S` is for everything together
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 1),  # a connection that was closed while nobody used it
        )

    async def get(self, name: str) -> bytes | None:
        """As of a Store."""
        kept: bytes | None = await _in_time(self._redis.get(PREFIX + name))
        return kept

    async def put(self, name: str, kept: bytes, *, ttl_s: float) -> None:
        """As of a Store."""
        await _in_time(self._redis.set(PREFIX + name, kept, px=max(1, round(ttl_s * 1000))))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


class ProcessStore:
    """In this process."""

    def __init__(self) -> None:
        self._kept: TLRUCache[str, tuple[bytes, float]] = TLRUCache(
            PROCESS_BYTES, ttu=lambda _, kept, now: now + kept[1], timer=time.monotonic, getsizeof=_size
        )

    async def get(self, name: str) -> bytes | None:
        """As of a Store."""
        kept = self._kept.get(name)
        return kept and kept[0]

    async def put(self, name: str, kept: bytes, *, ttl_s: float) -> None:
        """As of a Store."""
        self._kept[name] = (kept, ttl_s)

    async def aclose(self) -> None:
        """Nothing is open."""


async def _in_time(answer: Awaitable[Any]) -> Any:
    """Raises: StoreUnavailable."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await answer
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(type(error).__name__) from error


def _size(kept: tuple[bytes, float]) -> int:
    return len(kept[0]) + 200
