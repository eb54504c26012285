"""Stores of the response cache: Redis for all servers, or this process. Twins: the same keys, the same bytes."""

import time
from typing import Protocol

from cachetools import TLRUCache

from control_plane.storage.redis import redis_at, within

PREFIX = "control-plane:answers:1:"
"""With the version of what is kept: another one neither reads nor overwrites it."""

ANSWER_S = 0.25
"""Longer is slower than no cache at all."""

PROCESS_BYTES = 64_000_000
"""The most bytes of one process; the least recently used answers are evicted."""


class Store(Protocol):
    """Keeps bytes under a name for a while. Raises: RedisUnavailable."""

    async def get(self, name: str) -> bytes | None:
        """The stored value; None without one, or after its expiry."""

    async def put(self, name: str, kept: bytes, *, ttl_s: float) -> None:
        """Keeps it for so long."""

    async def aclose(self) -> None:
        """Closes the store."""


class SharedStore:
    """In Redis."""

    def __init__(self, url: str) -> None:
        """Raises: ValueError for an address that is none."""
        self._redis = redis_at(url, answer_s=ANSWER_S)

    async def get(self, name: str) -> bytes | None:
        """As of a Store."""
        async with within(ANSWER_S):
            kept = await self._redis.get(PREFIX + name)
        assert not isinstance(kept, str), "nothing is decoded"
        return kept

    async def put(self, name: str, kept: bytes, *, ttl_s: float) -> None:
        """As of a Store."""
        async with within(ANSWER_S):
            await self._redis.set(PREFIX + name, kept, px=round(ttl_s * 1000))

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


def _size(kept: tuple[bytes, float]) -> int:
    return len(kept[0]) + 200
