"""The response cache: serves a stored answer instead of a second provider call. A cache failure is a miss, never a
failed call.
"""

import asyncio
import logging
import time
from typing import Generic

from control_plane import failpoints
from control_plane.cache.codecs import A, Codec
from control_plane.cache.rules import ANY, MOST_BYTES, NOTHING, CacheControl, cache_key, is_repeatable
from control_plane.cache.stores import ProcessStore, SharedStore, Store
from control_plane.chat import ProviderCall
from control_plane.errors import InvalidConfig
from control_plane.metrics import Metrics
from control_plane.model_groups.catalog import CachePolicy
from control_plane.storage.redis import RedisUnavailable

log = logging.getLogger(__name__)

AWAY_S = 1.0
"""Seconds without a lookup after Redis did not respond."""


class AnswerCache:
    """The answers of the last minutes, in Redis if there is one. `aclose()` it when no call runs any more."""

    def __init__(self, *, redis_url: str | None = None, metrics: Metrics | None = None) -> None:
        """Raises: InvalidConfig for an address that is none."""
        try:
            self._store: Store = ProcessStore() if redis_url is None else SharedStore(redis_url)
        except ValueError as error:
            raise InvalidConfig([f"CONTROL_PLANE_REDIS_URL is not the address of a Redis: {error}"]) from None
        self._is_shared = redis_url is not None
        self._metrics = metrics or Metrics()
        self._is_away = False
        self._ask_again_at = 0.0
        self._writing: set[asyncio.Task[None]] = set()

    def entry(
        self, codec: Codec[A], call: ProviderCall, *, group: str, policy: CachePolicy, cache_control: CacheControl = ANY
    ) -> "CacheEntry[A]":
        """The cache entry of this call, and whether it may be read and written. Without a setting in the YAML, Redis is
        used.
        """
        is_used = self._is_shared if policy.is_on is None else policy.is_on
        key = None
        if is_used and cache_control != NOTHING and is_repeatable(call.request, policy.max_temperature):
            key = cache_key(call, group, policy.generation, codec.name)
        return CacheEntry(self, codec, key, policy.ttl_s, cache_control)

    async def get(self, key: str, codec: Codec[A]) -> A | None:
        """The answer under that key. None: there is none, or it cannot be had."""
        if not self._may_ask():
            self._metrics.cache_looked_up("unavailable")
            return None
        try:
            cached = await self._store.get(key)
            answer = None if cached is None else codec.read(cached)
        except RedisUnavailable as error:
            self._went_away(error)
            self._metrics.cache_looked_up("unavailable")
            return None
        except ValueError:
            log.warning("cached_answer_unreadable", extra={"answer": key})
            answer = None
        self._is_there()
        self._metrics.cache_looked_up("miss" if answer is None else "hit")
        return answer

    def put(self, key: str, codec: Codec[A], answer: A, *, ttl_s: float) -> None:
        """Stores in the background: no caller waits."""
        if not self._is_away:
            writing = asyncio.create_task(self._write(key, codec, answer, ttl_s))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)

    async def aclose(self) -> None:
        """Cancels pending writes, and closes Redis."""
        if self._writing:
            await asyncio.wait(self._writing)
        await self._store.aclose()

    async def _write(self, key: str, codec: Codec[A], answer: A, ttl_s: float) -> None:
        try:
            written = codec.write(answer)
            if len(written) <= MOST_BYTES:
                await self._store.put(key, written, ttl_s=ttl_s)
        except RedisUnavailable as error:
            self._went_away(error)
        except ValueError as error:  # a provider's text that is none
            log.warning("answer_not_cached", extra={"reason": type(error).__name__})

    def _may_ask(self) -> bool:
        """Whether the store is available; while it is not, one caller retries from time to time, and no other waits."""
        now = time.monotonic()
        if self._is_away and now < self._ask_again_at:
            return False
        self._ask_again_at = now + AWAY_S
        return True

    def _went_away(self, error: RedisUnavailable) -> None:
        self._ask_again_at = time.monotonic() + AWAY_S
        if not self._is_away:
            self._is_away = True
            log.warning("cache_unavailable", extra={"reason": str(error)})

    def _is_there(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("cache_recovered")


class CacheEntry(Generic[A]):
    """The entry of one call's answer; one without a key is never read nor filled."""

    def __init__(
        self, cache: AnswerCache, codec: Codec[A], key: str | None, ttl_s: float, cache_control: CacheControl
    ) -> None:
        self._cache = cache
        self._codec: Codec[A] = codec
        self._key = key
        self._ttl_s = ttl_s
        self._cache_control = cache_control

    @property
    def may_be_filled(self) -> bool:
        """Whether an answer would be stored."""
        return self._key is not None and self._cache_control.may_be_cached

    async def get(self) -> A | None:
        """The stored answer, if there is one that will do."""
        if self._key is None or not self._cache_control.may_use_cached:
            return None
        return await self._cache.get(self._key, self._codec)

    def put(self, answer: A) -> None:
        """Stores the answer, if its provider marked it as complete. Never raises: the call has succeeded."""
        try:
            failpoints.reach("caching_answer")
            if self._key is not None and self._cache_control.may_be_cached and self._codec.is_whole(answer):
                self._cache.put(self._key, self._codec, answer, ttl_s=self._ttl_s)
        except Exception:
            log.exception("answer_not_cached", extra={"answer": self._key})
