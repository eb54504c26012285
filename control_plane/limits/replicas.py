"""Limits over all processes, with and without Redis.

With Redis they count together. Without it each gives its share of the remainder, by Redis' last response and its own
records. When Redis is back, each first reports what it gave meanwhile, or everything if Redis has lost its memory. From
then on its calls are counted in Redis and held to its share, until all processes have reported.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from control_plane.limits.process import ProcessLimits
from control_plane.limits.reports import Ended, Reports
from control_plane.limits.rules import Acquired, Exceeded, LimitScope
from control_plane.limits.shared import RENEW_S, MemoryLost, SharedLimits
from control_plane.metrics import Metrics
from control_plane.storage.redis import RedisUnavailable

log = logging.getLogger(__name__)

CHECK_S = 0.25
"""Interval of the checks whether Redis is back; calls do not wait for them."""

WATCH_S = 1.0
"""Interval in which an idle process checks whether Redis has lost its memory."""

REJOIN_CHECK_S = 0.1
REJOIN_S = 5.0
"""How long a process that has reported waits for the others, of which one may be cut off."""


class Mode(Enum):
    """Where calls are counted."""

    SHARED = auto()
    LOCAL = auto()
    REJOINING = auto()
    """In Redis, within the share of this process."""


@dataclass(frozen=True, slots=True)
class LimitLease:
    """A call's acquired limits: here, and in Redis unless it was away. `generation`: the memory of Redis that counted
    it.
    """

    here: Acquired
    shared: Acquired | None
    generation: int
    is_local: bool

    @property
    def taken(self) -> Acquired:
        """As it was decided."""
        return self.here if self.is_local or self.shared is None else self.shared


class ReplicaLimits:
    """Takes and settles. Run `run()` as a task, and `aclose()` when nothing is settled any more."""

    def __init__(self, shared: SharedLimits | None, *, processes: Callable[[], int], metrics: Metrics) -> None:
        """`processes`: how many servers live at the moment, this one with them."""
        self._shared = shared
        self._processes = processes
        self._metrics = metrics
        self._here = ProcessLimits()
        self._reports = None if shared is None else Reports(shared, self._here)
        self._mode = Mode.LOCAL if shared is None else Mode.SHARED
        self._is_away = asyncio.Event()
        metrics.limits_are_shared(shared is not None)

    async def take(
        self, scopes: Sequence[LimitScope], call: str, tokens: int
    ) -> tuple[LimitLease | Exceeded, Sequence[LimitScope]]:
        """Takes from every scope, or nothing from any; and the scopes as far as this process may give them away."""
        if self._shared is not None and self._mode is Mode.SHARED:
            generation = self._here.generation
            try:
                return await self._take_shared(self._shared, scopes, call, tokens), scopes
            except RedisUnavailable as error:
                self._fall_back(error, generation)
        elif self._shared is not None and self._mode is Mode.REJOINING:
            return await self._take_rejoining(self._shared, scopes, call, tokens)
        given, shares = self._here.take_share(
            scopes, call, tokens, processes=self._processes(), is_lacking=self._shared is not None
        )
        if isinstance(given, Exceeded):
            return given, shares
        return LimitLease(given, None, self._here.generation, is_local=True), shares

    async def settle(self, hold: LimitLease, used: int | None) -> None:
        """The call has ended and used so many tokens; None: it was none. Its place is free when this returns.

        Never raises.
        """
        in_redis = hold.shared if hold.generation == self._here.generation else None
        is_lacking = self._shared is not None and in_redis is None
        self._here.settle(hold.here, used, is_local=hold.is_local, is_lacking=is_lacking)
        if self._reports is None:
            return
        generation = self._here.generation
        has_place = any(scope.parallel is not None for scope in hold.here.scopes)
        try:
            if in_redis is not None:
                ended = Ended(in_redis, hold.generation, used, hold.here)
                if has_place and self._mode is Mode.SHARED:  # a client that was answered may ask for its place at once
                    await self._reports.send_end(ended)
                    return
                self._reports.add(ended)
            if has_place and self._mode is not Mode.LOCAL:
                await self._reports.send()
            else:
                self._reports.is_wanted.set()
        except RedisUnavailable as error:
            self._fall_back(error, generation)

    async def run(self) -> None:
        """Reports to Redis what calls used, keeps the places of those that run, and rejoins a Redis that is back."""
        if self._shared is not None and self._reports is not None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_reports(self._reports))
                tasks.create_task(self._keep_places(self._shared))
                tasks.create_task(self._watch(self._shared))
                tasks.create_task(self._come_back(self._shared, self._reports))

    async def aclose(self) -> None:
        """Reports the rest, and closes Redis."""
        if self._shared is not None and self._reports is not None:
            if self._mode is not Mode.LOCAL:
                await self._try(self._reports.send())
            await self._shared.aclose()

    async def _take_shared(
        self, shared: SharedLimits, scopes: Sequence[LimitScope], call: str, tokens: int
    ) -> LimitLease | Exceeded:
        generation = self._here.generation
        taken = await self._ask(shared, scopes, call, tokens)
        has_memory = generation == self._here.generation  # else what it counted may be lost by now
        held: LimitLease | Exceeded
        if isinstance(taken, Exceeded):
            held = taken
        else:
            here = self._here.note(scopes, call, tokens, is_lacking=not has_memory)
            held = LimitLease(here, taken, generation, is_local=False)
        if not has_memory:
            self._want_report()
        elif self._mode is Mode.SHARED:
            self._here.observe(scopes, taken)
        return held

    async def _take_rejoining(
        self, shared: SharedLimits, scopes: Sequence[LimitScope], call: str, tokens: int
    ) -> tuple[LimitLease | Exceeded, Sequence[LimitScope]]:
        """Redis counts it, but some processes have yet to report: neither it nor the share of this process is exceeded."""
        given, shares = self._here.take_share(scopes, call, tokens, processes=self._processes(), is_lacking=False)
        if isinstance(given, Exceeded):
            return given, shares
        generation = self._here.generation
        try:
            taken = await self._ask(shared, scopes, call, tokens)
        except RedisUnavailable as error:
            if generation == self._here.generation:
                self._here.report_call(given)
            self._fall_back(error, generation)
            self._want_report()
            return LimitLease(given, None, self._here.generation, is_local=True), shares
        except asyncio.CancelledError:
            self._drop(given, generation)
            raise
        if isinstance(taken, Exceeded):
            self._drop(given, generation)
            return taken, scopes
        return LimitLease(given, taken, generation, is_local=True), shares

    def _drop(self, given: Acquired, generation: int) -> None:
        self._here.settle(given, None, is_local=True, is_lacking=generation != self._here.generation)

    async def _ask(
        self, shared: SharedLimits, scopes: Sequence[LimitScope], call: str, tokens: int
    ) -> Acquired | Exceeded:
        """As `shared.take`. A caller that is cancelled meanwhile has taken nothing in the end."""
        generation = self._here.generation
        asking = asyncio.create_task(shared.take(scopes, call, tokens))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda asked: self._give_back(asked, generation))
            raise

    def _give_back(self, asked: asyncio.Task[Acquired | Exceeded], generation: int) -> None:
        if asked.cancelled() or asked.exception() is not None or self._reports is None:
            return
        if isinstance(taken := asked.result(), Acquired):
            self._reports.add(Ended(taken, generation, None, None))

    async def _send_reports(self, reports: Reports) -> None:
        while True:
            await reports.is_wanted.wait()
            reports.is_wanted.clear()
            if self._mode is not Mode.LOCAL:
                await self._try(reports.send())

    async def _keep_places(self, shared: SharedLimits) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            running = self._here.running()
            if running and self._mode is not Mode.LOCAL:
                await self._try(shared.renew(running))

    async def _watch(self, shared: SharedLimits) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            if self._mode is Mode.SHARED:
                await self._try(shared.touch())

    async def _try(self, sending: Awaitable[object]) -> None:
        generation = self._here.generation
        try:
            await sending
        except RedisUnavailable as error:
            self._fall_back(error, generation)

    async def _come_back(self, shared: SharedLimits, reports: Reports) -> None:
        while True:
            await self._is_away.wait()
            await asyncio.sleep(CHECK_S)
            try:
                await shared.check()
                await self._rejoin(shared, await reports.send_all(self._count_in_redis))
            except RedisUnavailable as error:
                self._fall_back(error, self._here.generation)

    def _count_in_redis(self) -> None:
        self._mode = Mode.REJOINING

    async def _rejoin(self, shared: SharedLimits, since_ms: int) -> None:
        """Waits until no other process has anything to report: then Redis counts everything, and shares are not needed."""
        clock = asyncio.get_running_loop()
        until_s = clock.time() + REJOIN_S
        while self._mode is Mode.REJOINING:
            _, others = await shared.touch(since_ms)
            if others >= self._processes() - 1 or clock.time() >= until_s:
                self._is_away.clear()
                self._mode = Mode.SHARED
                self._metrics.limits_are_shared(True)
                log.info("limits_recovered")
                return
            await asyncio.sleep(REJOIN_CHECK_S)

    def _want_report(self) -> None:
        if self._reports is not None:
            self._reports.is_wanted.set()

    def _fall_back(self, error: RedisUnavailable, generation: int) -> None:
        """`generation`: the memory of Redis that was counted in when it failed."""
        if isinstance(error, MemoryLost) and generation == self._here.generation:
            self._here.lose_memory()
        if not self._is_away.is_set():
            self._is_away.set()
            self._metrics.limits_fell_back()
            self._metrics.limits_are_shared(False)
            log.warning("limits_degraded", extra={"reason": str(error), "processes": self._processes()})
        self._mode = Mode.LOCAL
