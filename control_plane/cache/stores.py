"""Stores of the response cache: Redis for all servers, or this process. Twins: the same keys, the same bytes."""

import time
from typing import Protocol

from cachetools import TLRUCache

from control_plane.storage.redis import redis_at, within

PREFIX = "control-plane:answers:1:"
"""With the version of what is stored: another one neither reads nor overwrites it."""

ANSWER_S = 0.25
"""Longer is slower than no cache at all."""

PROCESS_BYTES = 64_000_000
"""The most bytes of one process; the least recently used answers are evicted."""


class Store(Protocol):
    """Stores bytes under a key for a while. Raises: RedisUnavailable."""

    async def get(self, key: str) -> bytes | None:
        """The stored value; None without one, or after its expiry."""

    async def put(self, key: str, cached: bytes, *, ttl_s: float) -> None:
        """Stores it for so long."""

    async def aclose(self) -> None:
        """Closes the store."""


class SharedStore:
    """In Redis."""

    def __init__(self, url: str) -> None:
        """Raises: ValueError for an address that is none."""
        self._redis = redis_at(url, answer_s=ANSWER_S)

    async def get(self, key: str) -> bytes | None:
        """As of a Store."""
        async with within(ANSWER_S):
            cached = await self._redis.get(PREFIX + key)
        assert not isinstance(cached, str), "nothing is decoded"
        return cached

    async def put(self, key: str, cached: bytes, *, ttl_s: float) -> None:
        """As of a Store."""
        async with within(ANSWER_S):
            await self._redis.set(PREFIX + key, cached, px=round(ttl_s * 1000))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


class ProcessStore:
    """In this process."""

    def __init__(self) -> None:
        self._entries: TLRUCache[str, tuple[bytes, float]] = TLRUCache(
            PROCESS_BYTES, ttu=lambda _, entry, now: now + entry[1], timer=time.monotonic, getsizeof=_size
        )

    async def get(self, key: str) -> bytes | None:
        """As of a Store."""
        entry = self._entries.get(key)
        return entry and entry[0]

    async def put(self, key: str, cached: bytes, *, ttl_s: float) -> None:
        """As of a Store."""
        self._entries[key] = (cached, ttl_s)

    async def aclose(self) -> None:
        """Nothing is open."""


def _size(entry: tuple[bytes, float]) -> int:
    return len(entry[0]) + 200
