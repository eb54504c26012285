"""Sends Redis what it lacks: calls that have ended, and what was used without it or before it lost its memory."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control_plane.limits.minute import Report
from control_plane.limits.process import ProcessLimits
from control_plane.limits.rules import Acquired
from control_plane.limits.shared import SharedLimits
from control_plane.storage.redis import RedisUnavailable

MOST_AT_ONCE = 500
"""Ticks and places in one report: a few milliseconds of Redis' time, in which it answers no call."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that Redis gave in its memory of `generation`, and what it used; None: it was none.

    `here`: as this process noted it, unless its caller had left by then.
    """

    shared: Acquired
    generation: int
    used: int | None
    here: Acquired | None


class Reports:
    """Everything on the way to Redis. Methods that send raise RedisUnavailable and keep what may not have arrived."""

    def __init__(self, shared: SharedLimits, here: ProcessLimits) -> None:
        self.is_wanted = asyncio.Event()
        self._shared = shared
        self._here = here
        self._ended: list[Ended] = []
        self._sending = asyncio.Lock()

    def add(self, ended: Ended) -> None:
        """To be sent with the next report."""
        self._ended.append(ended)
        self.is_wanted.set()

    async def send(self) -> None:
        """Everything there is. One report is sent after the other, so that no place is freed before it is given."""
        async with self._sending:
            await self._send_ended()
            while self._here.is_lacking:
                await self._deliver(self._here.reports(self._shared.tick_offset, most=MOST_AT_ONCE))

    async def send_end(self, ended: Ended) -> None:
        """The end of a call that waits for it."""
        await self._settle([ended])

    async def send_all(self, then: Callable[[], None]) -> int:
        """Everything that was used without Redis. `then`: called at the moment from which calls are to be counted there.

        Until that moment calls go on without it; so most is sent before, and what the last milliseconds used, after it.
        Returns: the time by Redis' clock at which it had all of it.
        """
        async with self._sending:
            if not await self._shared.begin_report():
                self._here.lose_memory()
            await self._send_ended()
            self._here.report_places()
            rest = self._here.reports(self._shared.tick_offset, most=MOST_AT_ONCE)
            while self._here.is_lacking:
                await self._deliver(rest)
                rest = self._here.reports(self._shared.tick_offset, most=MOST_AT_ONCE)
            then()
            await self._deliver(rest)
            await self._deliver(self._here.reports(self._shared.tick_offset))  # calls that ended meanwhile
            await self._send_ended()
            seen_ms, _ = await self._shared.touch()
            return seen_ms

    async def _deliver(self, reports: Sequence[Report]) -> None:
        try:
            await self._shared.report(reports)
        except BaseException:
            self._here.take_back(reports)
            raise

    async def _send_ended(self) -> None:
        ended, self._ended = self._ended, []
        # What Redis counted before it lost its memory is in the reports.
        await self._settle([each for each in ended if each.generation == self._here.generation])

    async def _settle(self, ended: Sequence[Ended]) -> None:
        if not ended:
            return
        try:
            await self._shared.settle([(each.shared, each.used) for each in ended])
        except RedisUnavailable:
            for each in ended:
                if each.here is not None and each.generation == self._here.generation:
                    self._here.report_end(each.here, each.used)
            raise
