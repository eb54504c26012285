"""A short-lived cache of database look-ups, so that the hot path needs no query.

Concurrent callers with the same key share one query; a key in use is refreshed before its value is too old, while the
old value still serves.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import LRUCache

from control_plane import waiting
from control_plane.errors import Overloaded

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

AHEAD = 0.75
"""The share of its lifetime after which a used value is refreshed."""


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    """A value, by a query that began `at` (monotonic)."""

    value: V
    at: float


@dataclass(frozen=True, slots=True)
class _Look(Generic[V]):
    """One that began `at`."""

    task: "asyncio.Task[V]"
    at: float


class Lookups(Generic[K, V]):
    """Caches the results of `look` for `ttl_s` after it began; of so many keys, the most recently used."""

    def __init__(
        self,
        look: Callable[[K], Awaitable[V]],
        *,
        ttl_s: float,
        kept: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: LRUCache[K, _Known[V]] = LRUCache(kept)
        self._looking: dict[K, _Look[V]] = {}

    async def get(self, key: K) -> V:
        """The value of a key. Raises: what looking it up raises, and the next caller retries; Overloaded."""
        known = self._known.get(key)
        age = self._ttl_s if known is None else self._clock() - known.at
        if known is not None and age < self._ttl_s:
            if age >= AHEAD * self._ttl_s:
                self._begin(key)
            return known.value
        left_s = waiting.left_or_none_s()
        looking = self._begin(key)
        found, _ = await asyncio.wait([looking], timeout=left_s)  # a cancelled caller does not cancel the others' query
        if not found:
            raise Overloaded.after(left_s or 0)
        return looking.result()

    def peek(self, key: K) -> V | None:
        """The answer for a key, if it is remembered."""
        known = self._known.get(key)
        return known.value if known is not None and self._clock() - known.at < self._ttl_s else None

    def forget(self, key: K) -> None:
        """Invalidates a key that was just changed in this process."""
        self._known.pop(key, None)
        self._looking.pop(key, None)

    def forget_all(self) -> None:
        """As `forget`, of every key."""
        self._known.clear()
        self._looking.clear()

    def _begin(self, key: K) -> "asyncio.Task[V]":
        """The pending query, or a new one: one that began too long ago may return an old value."""
        now, looking = self._clock(), self._looking.get(key)
        if looking is None or now - looking.at >= self._ttl_s:
            with waiting.without_end():  # others may wait for it, for longer than the first
                task = asyncio.create_task(self._keep(key, now))
            task.add_done_callback(_heard)
            looking = self._looking[key] = _Look(task, now)
        return looking.task

    async def _keep(self, key: K, at: float) -> V:
        try:
            value = await self._look(key)
            if self._is_latest(key):  # else it was forgotten meanwhile: this may be the answer from before
                self._known[key] = _Known(value, at)
            return value
        finally:
            if self._is_latest(key):
                del self._looking[key]

    def _is_latest(self, key: K) -> bool:
        looking = self._looking.get(key)
        return looking is not None and looking.task is asyncio.current_task()


def _heard(task: "asyncio.Task[V]") -> None:
    """A refresh may fail without a waiting caller: the old value is still served, and the next query reports it."""
    if not task.cancelled():
        task.exception()
