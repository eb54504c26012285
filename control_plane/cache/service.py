"""The response cache: serves a stored answer instead of a second provider call. A cache failure is a miss, never a
failed call.
"""

import asyncio
import logging
import time
from typing import Generic

from control_plane import failpoints
from control_plane.cache.forms import A, Codec
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

    def slot(
        self, form: Codec[A], call: ProviderCall, *, group: str, policy: CachePolicy, freshness: CacheControl = ANY
    ) -> "CacheEntry[A]":
        """The cache entry of this call, and whether it may be read and written. Without a setting in the YAML, Redis is
        used.
        """
        is_used = self._is_shared if policy.is_on is None else policy.is_on
        name = None
        if is_used and freshness != NOTHING and is_repeatable(call.request, policy.max_temperature):
            name = cache_key(call, group, policy.generation, form.name)
        return CacheEntry(self, form, name, policy.ttl_s, freshness)

    async def recall(self, name: str, form: Codec[A]) -> A | None:
        """The answer of that name. None: there is none, or it cannot be had."""
        if not self._may_ask():
            self._metrics.cache_looked_up("unavailable")
            return None
        try:
            kept = await self._store.get(name)
            answer = None if kept is None else form.read(kept)
        except RedisUnavailable as error:
            self._went_away(error)
            self._metrics.cache_looked_up("unavailable")
            return None
        except ValueError:
            log.warning("cached_answer_unreadable", extra={"answer": name})
            answer = None
        self._is_there()
        self._metrics.cache_looked_up("miss" if answer is None else "hit")
        return answer

    def keep(self, name: str, form: Codec[A], answer: A, *, ttl_s: float) -> None:
        """Stores in the background: no caller waits."""
        if not self._is_away:
            writing = asyncio.create_task(self._write(name, form, answer, ttl_s))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)

    async def aclose(self) -> None:
        """Cancels pending writes, and closes Redis."""
        if self._writing:
            await asyncio.wait(self._writing)
        await self._store.aclose()

    async def _write(self, name: str, form: Codec[A], answer: A, ttl_s: float) -> None:
        try:
            written = form.write(answer)
            if len(written) <= MOST_BYTES:
                await self._store.put(name, written, ttl_s=ttl_s)
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
    """The place of one call's answer; one without a name is never read nor filled."""

    def __init__(
        self, cache: AnswerCache, form: Codec[A], name: str | None, ttl_s: float, freshness: CacheControl
    ) -> None:
        self._cache = cache
        self._form: Codec[A] = form
        self._name = name
        self._ttl_s = ttl_s
        self._freshness = freshness

    @property
    def may_be_filled(self) -> bool:
        """Whether an answer would be kept."""
        return self._name is not None and self._freshness.may_be_kept

    async def recall(self) -> A | None:
        """The answer that was kept, if there is one that will do."""
        if self._name is None or not self._freshness.takes_kept:
            return None
        return await self._cache.recall(self._name, self._form)

    def keep(self, answer: A) -> None:
        """Stores the answer, if its provider marked it as complete. Never raises: the call has succeeded."""
        try:
            failpoints.reach("caching_answer")
            if self._name is not None and self._freshness.may_be_kept and self._form.is_whole(answer):
                self._cache.keep(self._name, self._form, answer, ttl_s=self._ttl_s)
        except Exception:
            log.exception("answer_not_cached", extra={"answer": self._name})
