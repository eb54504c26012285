"""The limits as one process counts them, in its own memory. The twin of `shared.py`: the same rules, the same answers."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from control_plane.limits.minute import Minute, Report
from control_plane.limits.rules import (
    PARALLEL_RETRY_MS,
    TICK_MS,
    TICKS,
    Acquired,
    Exceeded,
    Kind,
    LimitScope,
    charged_tokens,
    share_of,
    use_of_share,
)


def monotonic_ms() -> int:
    """The clock of this process."""
    return time.monotonic_ns() // 1_000_000


class ProcessLimits:
    """Counts in memory. What was not used for a minute is forgotten, so it holds no more than a minute's callers.

    `generation` counts how often Redis has lost its memory. What was counted there in an earlier one, it lacks.
    """

    def __init__(self, *, clock_ms: Callable[[], int] = monotonic_ms) -> None:
        self.generation = 0
        self._clock_ms = clock_ms
        self._minutes: OrderedDict[str, Minute] = OrderedDict()
        self._lacking: dict[str, Minute] = {}
        """The scopes of which Redis lacks something."""

    @property
    def is_lacking(self) -> bool:
        """Whether Redis lacks anything."""
        return bool(self._lacking)

    def take(self, scopes: Sequence[LimitScope], call: str, tokens: int) -> Acquired | Exceeded:
        """Takes a request, these tokens and a place among the calls at once from every scope, or nothing from any."""
        now_ms = self._clock_ms()
        minutes = self._now(scopes, now_ms)
        return _exceeded(scopes, scopes, minutes, tokens, now_ms) or self._add(scopes, minutes, call, tokens, now_ms)

    def take_share(
        self, scopes: Sequence[LimitScope], call: str, tokens: int, *, processes: int, is_lacking: bool
    ) -> tuple[Acquired | Exceeded, Sequence[LimitScope]]:
        """As `take`, of what one of so many processes may give without Redis; and its shares. `is_lacking`: Redis lacks it."""
        now_ms = self._clock_ms()
        minutes = self._now(scopes, now_ms)
        limits = [minute.local_limits(scope, processes) for scope, minute in zip(scopes, minutes, strict=True)]
        shares = [share_of(scope, processes) for scope in scopes]
        given = _exceeded(limits, shares, minutes, tokens, now_ms) or self._add(
            shares, minutes, call, tokens, now_ms, is_local=True, is_lacking=is_lacking
        )
        uses = map(use_of_share, given.uses, limits, shares)
        return replace(given, uses=list(uses)), shares

    def note(self, scopes: Sequence[LimitScope], call: str, tokens: int, *, is_lacking: bool = False) -> Acquired:
        """As `take`, for what was allowed elsewhere: counted, however much it is. `is_lacking`: Redis lacks it."""
        now_ms = self._clock_ms()
        return self._add(scopes, self._now(scopes, now_ms), call, tokens, now_ms, is_lacking=is_lacking)

    def observe(self, scopes: Sequence[LimitScope], answer: Acquired | Exceeded) -> None:
        """What Redis answered, after it was noted: how much the other processes use."""
        now_ms = self._clock_ms()
        for scope, minute, use in zip(scopes, self._now(scopes, now_ms), answer.uses, strict=True):
            charged = (1, charged_tokens(scope, answer.tokens)) if isinstance(answer, Acquired) else (0, 0)
            minute.observe(use, answer.tick, now_ms // TICK_MS, charged)

    def settle(self, taken: Acquired, used: int | None, *, is_local: bool = False, is_lacking: bool = False) -> None:
        """The call has ended: its place is free, and it counts for the tokens it used instead of those it took.

        None: it was none, and counts as no request either. `is_local`: `take_share` gave it. `is_lacking`: Redis lacks this.
        """
        requests = -1 if used is None else 0
        for scope, tokens in zip(taken.scopes, taken.corrections(used or 0), strict=True):
            minute = self._minutes.get(scope.name)
            if minute is None:
                continue
            if is_lacking:
                self._begin_report(minute)
            is_counted = minute.correct(taken.tick, taken.call, requests, tokens, is_local=is_local)
            if is_lacking and is_counted:
                minute.lack(taken.tick, requests, tokens)
            if is_lacking and scope.parallel is not None:
                minute.to_place.discard(taken.call)
                minute.to_free.add(taken.call)

    def report_call(self, taken: Acquired) -> None:
        """Redis lacks this call, which was noted and runs."""
        for scope in taken.scopes:
            minute = self._minutes.get(scope.name)
            if minute is not None and self._begin_report(minute):
                minute.lack(taken.tick, 1, charged_tokens(scope, taken.tokens))
                if scope.parallel is not None:
                    minute.to_place.add(taken.call)

    def report_end(self, taken: Acquired, used: int | None) -> None:
        """Redis may lack that this call has ended, which was settled here. What would make it count less is not repeated."""
        for scope, tokens in zip(taken.scopes, taken.corrections(used or 0), strict=True):
            minute = self._minutes.get(scope.name)
            if minute is not None and self._begin_report(minute):
                if tokens > 0 and taken.tick in minute.used.spent:
                    minute.lack(taken.tick, 0, tokens)
                if scope.parallel is not None:
                    minute.to_free.add(taken.call)

    def report_places(self) -> None:
        """The places of all calls that run may have expired in Redis."""
        for minute in self._minutes.values():
            if minute.running:
                self._begin_report(minute)
                minute.to_place.update(minute.running)

    def lose_memory(self) -> None:
        """Redis has lost its memory: it lacks everything."""
        self.generation += 1
        self._lacking = dict(self._minutes)

    def reports(self, offset: int, *, most: int | None = None) -> list[Report]:
        """What Redis lacks, from now on taken for reported: all, or scopes with about so many ticks and places.

        `offset`: from ticks here to those of Redis.
        """
        made, size = [], 0
        now_tick = self._clock_ms() // TICK_MS
        while self._lacking and (most is None or size < most):
            minute = self._lacking.pop(next(iter(self._lacking)))
            minute.start_over(self.generation)
            minute.slide_to(now_tick)
            report = minute.report(offset)
            made.append(report)
            size += 1 + len(report.ticks) + len(report.running) + len(report.ended)
        return made

    def take_back(self, reports: Sequence[Report]) -> None:
        """These reports may not have arrived: they are repeated, see `Minute.take_back`."""
        for report in reports:
            if self._minutes.get(report.name) is report.minute and self._begin_report(report.minute):
                report.minute.take_back(report)

    def running(self) -> list[tuple[str, list[str]]]:
        """The calls that have places, by scope."""
        return [(name, list(minute.running)) for name, minute in self._minutes.items() if minute.running]

    def _begin_report(self, minute: Minute) -> bool:
        """Redis lacks something of this scope. False: it lacked everything, all that is counted so far included."""
        self._lacking[minute.name] = minute
        return minute.start_over(self.generation)

    def _now(self, scopes: Sequence[LimitScope], now_ms: int) -> list[Minute]:
        tick = now_ms // TICK_MS
        while self._minutes:
            name, minute = next(iter(self._minutes.items()))
            if minute.running:
                self._minutes.move_to_end(name)  # one long call must not keep those behind it
                break
            if tick - minute.last <= TICKS:
                break
            del self._minutes[name]
            self._lacking.pop(name, None)
        minutes = []
        for scope in scopes:
            minute = self._minutes.get(scope.name) or Minute(scope.name, self.generation)
            self._minutes[scope.name] = minute
            self._minutes.move_to_end(scope.name)
            minute.slide_to(tick)
            minutes.append(minute)
        return minutes

    def _add(
        self,
        scopes: Sequence[LimitScope],
        minutes: Sequence[Minute],
        call: str,
        tokens: int,
        now_ms: int,
        *,
        is_local: bool = False,
        is_lacking: bool = False,
    ) -> Acquired:
        tick = now_ms // TICK_MS
        for scope, minute in zip(scopes, minutes, strict=True):
            charged, has_place = charged_tokens(scope, tokens), scope.parallel is not None
            if is_lacking:
                self._begin_report(minute)
                minute.lack(tick, 1, charged)
                if has_place:
                    minute.to_place.add(call)
            minute.add(tick, call, charged, has_place=has_place, is_local=is_local)
        return Acquired(scopes, call, tokens, tick, [minute.use(now_ms) for minute in minutes])


def _exceeded(
    limits: Sequence[LimitScope], charging: Sequence[LimitScope], minutes: Sequence[Minute], tokens: int, now_ms: int
) -> Exceeded | None:
    """What takes longest to be free within these limits. `charging`: the scopes that say what so many tokens count as."""
    lacking = [
        Exceeded(number, kind, wait_ms, [minute.use(now_ms) for minute in minutes], now_ms // TICK_MS)
        for number, (limit, scope, minute) in enumerate(zip(limits, charging, minutes, strict=True))
        for kind, wait_ms in _lacks(limit, minute, charged_tokens(scope, tokens), now_ms)
    ]
    return max(lacking, key=lambda exceeded: exceeded.retry_after_ms, default=None)  # of equals, the first


def _lacks(limit: LimitScope, minute: Minute, tokens: int, now_ms: int) -> list[tuple[Kind, int]]:
    """What a scope has too little of, and how long until there is enough."""
    found = []
    if limit.requests is not None and (excess := minute.used.requests + 1 - limit.requests) > 0:
        found.append((Kind.REQUESTS, minute.free_in_ms(now_ms, excess, lambda spent: spent.requests)))
    if limit.tokens is not None and (excess := minute.used.tokens + tokens - limit.tokens) > 0:
        found.append((Kind.TOKENS, minute.free_in_ms(now_ms, excess, lambda spent: spent.tokens)))
    if limit.parallel is not None and len(minute.running) >= limit.parallel:
        found.append((Kind.PARALLEL_CALLS, PARALLEL_RETRY_MS))
    return found
