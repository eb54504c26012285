"""How all processes count, whether Redis answers or not.

While it does, they count together. Without it each gives away its share: the limit divided by the processes that are
known to live. What Redis gave is noted here too, so that a process left alone knows what it has given away already.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control_plane.limits.process import ProcessLimits
from control_plane.limits.rules import Exceeded, Scope, Taken, share_of
from control_plane.limits.shared import RENEW_S, SharedLimits
from control_plane.metrics import Metrics
from control_plane.storage.redis import RedisUnavailable

log = logging.getLogger(__name__)

CHECK_S = 0.25
"""How often a Redis that went away is asked whether it is back; calls do not wait for that."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What a call has taken: here, and in Redis unless it was away."""

    here: Taken
    shared: Taken | None

    @property
    def taken(self) -> Taken:
        """As it was decided."""
        return self.shared or self.here


class ReplicaLimits:
    """Takes and settles. Run `run()` as a task, and `aclose()` when nothing is settled any more."""

    def __init__(self, shared: SharedLimits | None, *, processes: Callable[[], int], metrics: Metrics) -> None:
        """`processes`: how many servers live at the moment, this one with them."""
        self._shared = shared
        self._processes = processes
        self._metrics = metrics
        self._here = ProcessLimits()
        self._is_shared = shared is not None
        self._is_away = asyncio.Event()
        self._ended: list[tuple[Taken, int | None]] = []
        self._has_ended = asyncio.Event()
        self._running: dict[str, Taken] = {}
        metrics.limits_are_shared(self._is_shared)

    async def take(self, scopes: Sequence[Scope], call: str, tokens: int) -> tuple[Hold | Exceeded, Sequence[Scope]]:
        """Takes from every scope, or nothing from any; and the scopes as far as this process may give them away."""
        if self._shared is not None and self._is_shared:
            try:
                taken = await self._ask(self._shared, scopes, call, tokens)
            except RedisUnavailable as error:
                self._fall_back(error)
            else:
                if isinstance(taken, Exceeded):
                    return taken, scopes
                if _has_place(taken):
                    self._running[call] = taken
                return Hold(self._here.note(scopes, call, tokens), taken), scopes
        scopes = [share_of(scope, self._processes()) for scope in scopes]
        given = self._here.take(scopes, call, tokens)
        return (given if isinstance(given, Exceeded) else Hold(given, None)), scopes

    async def settle(self, hold: Hold, used: int | None) -> None:
        """The call has ended and used so many tokens; None: it was none. Its place is free when this returns.

        Never raises.
        """
        self._here.settle(hold.here, used)
        if hold.shared is None or self._shared is None:
            return
        if self._running.pop(hold.shared.call, None) is None:
            self._ended.append((hold.shared, used))
            self._has_ended.set()
        elif self._is_shared:  # whoever waits for this call's end may ask for its place at once
            await self._tell(self._shared, [(hold.shared, used)])

    async def run(self) -> None:
        """Tells Redis what calls used, keeps the places of those that run, and looks whether a lost Redis is back."""
        if self._shared is not None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_ended(self._shared))
                tasks.create_task(self._keep_places(self._shared))
                tasks.create_task(self._come_back(self._shared))

    async def aclose(self) -> None:
        """Tells Redis the last of it, and lets go of it."""
        if self._shared is not None:
            if self._is_shared and self._ended:
                await self._tell(self._shared, self._ended)
            await self._shared.aclose()

    async def _ask(self, shared: SharedLimits, scopes: Sequence[Scope], call: str, tokens: int) -> Taken | Exceeded:
        """As `shared.take`. A caller that is cancelled meanwhile has taken nothing in the end."""
        asking = asyncio.create_task(shared.take(scopes, call, tokens))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(self._give_back)
            raise

    def _give_back(self, asked: asyncio.Task[Taken | Exceeded]) -> None:
        if not asked.cancelled() and asked.exception() is None and isinstance(taken := asked.result(), Taken):
            self._ended.append((taken, None))
            self._has_ended.set()

    async def _tell(self, shared: SharedLimits, ended: Sequence[tuple[Taken, int | None]]) -> None:
        try:
            await shared.settle(ended)
        except RedisUnavailable as error:
            self._fall_back(error)  # what it was not told, it forgets within the minute, or when the lease ends

    async def _tell_ended(self, shared: SharedLimits) -> None:
        while True:
            await self._has_ended.wait()
            self._has_ended.clear()
            ended, self._ended = self._ended, []
            if self._is_shared:
                await self._tell(shared, ended)

    async def _keep_places(self, shared: SharedLimits) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            if self._running and self._is_shared:
                try:
                    await shared.renew(list(self._running.values()))
                except RedisUnavailable as error:
                    self._fall_back(error)

    async def _come_back(self, shared: SharedLimits) -> None:
        while True:
            await self._is_away.wait()
            await asyncio.sleep(CHECK_S)
            try:
                await shared.check()
            except RedisUnavailable:
                continue
            self._is_away.clear()
            self._is_shared = True
            self._metrics.limits_are_shared(True)
            log.info("limits_shared_again")

    def _fall_back(self, error: RedisUnavailable) -> None:
        if self._is_shared:
            self._is_shared = False
            self._is_away.set()
            self._metrics.limits_fell_back()
            self._metrics.limits_are_shared(False)
            log.warning("limits_not_shared", extra={"reason": str(error), "processes": self._processes()})


def _has_place(taken: Taken) -> bool:
    return any(scope.parallel is not None for scope in taken.scopes)
