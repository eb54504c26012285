"""The limits as one process counts them, in its own memory. The twin of `shared.py`: the same rules, the same answers."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from control_plane.limits.rules import (
    PARALLEL_RETRY_MS,
    TICK_MS,
    TICKS,
    Exceeded,
    Kind,
    Scope,
    Taken,
    Use,
    charged_tokens,
)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass(slots=True)
class _Spent:
    """What was used in one tick."""

    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Minute:
    """The last minute of a scope: what was used in each tick, oldest first, and in sum; and the calls that run."""

    spent: dict[int, _Spent] = field(default_factory=dict)
    requests: int = 0
    tokens: int = 0
    running: set[str] = field(default_factory=set)
    last: int = 0

    def slide_to(self, tick: int) -> None:
        """Forgets what was used before the minute that ends with `tick`."""
        while self.spent:
            oldest = next(iter(self.spent))
            if tick - oldest <= TICKS:
                return
            gone = self.spent.pop(oldest)
            self.requests -= gone.requests
            self.tokens -= gone.tokens

    def free_in_ms(self, now_ms: int, excess: int, amount: Callable[[_Spent], int]) -> int:
        """How long until so much has slid out."""
        freed = 0
        for tick, spent in self.spent.items():
            freed += amount(spent)
            if freed >= excess:
                return (tick + TICKS + 1) * TICK_MS - now_ms
        return (TICKS + 1) * TICK_MS

    def use(self, now_ms: int) -> Use:
        """As it stands."""
        reset_ms = (self.last + TICKS + 1) * TICK_MS - now_ms if self.spent else 0
        return Use(self.requests, self.tokens, len(self.running), reset_ms)


class ProcessLimits:
    """Counts in memory. What was not used for a minute is forgotten, so it holds no more than a minute's callers."""

    def __init__(self, *, clock_ms: Callable[[], int] = _monotonic_ms) -> None:
        self._clock_ms = clock_ms
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()

    def take(self, scopes: Sequence[Scope], call: str, tokens: int) -> Taken | Exceeded:
        """Takes a request, these tokens and a place among the calls at once from every scope, or nothing from any."""
        now_ms = self._clock_ms()
        minutes = self._now(scopes, now_ms)
        lacking = [
            Exceeded(number, kind, wait_ms, [minute.use(now_ms) for minute in minutes])
            for number, (scope, minute) in enumerate(zip(scopes, minutes, strict=True))
            for kind, wait_ms in _lacks(scope, minute, tokens, now_ms)
        ]
        if lacking:
            return max(lacking, key=lambda exceeded: exceeded.retry_after_ms)  # of equals, the first
        return self._add(scopes, minutes, call, tokens, now_ms)

    def note(self, scopes: Sequence[Scope], call: str, tokens: int) -> Taken:
        """As `take`, for what was allowed elsewhere: counted, however much it is."""
        now_ms = self._clock_ms()
        return self._add(scopes, self._now(scopes, now_ms), call, tokens, now_ms)

    def settle(self, taken: Taken, used: int | None) -> None:
        """The call has ended: its place is free, and it counts for the tokens it used instead of those it took.

        None: it was none, and counts as no request either.
        """
        for scope, more in zip(taken.scopes, taken.corrections(used or 0), strict=True):
            minute = self._minutes.get(scope.name)
            if minute is None:
                continue
            minute.running.discard(taken.call)
            spent = minute.spent.get(taken.tick)
            if spent is not None:
                spent.tokens += more
                minute.tokens += more
                if used is None:
                    spent.requests -= 1
                    minute.requests -= 1

    def _now(self, scopes: Sequence[Scope], now_ms: int) -> list[_Minute]:
        tick = now_ms // TICK_MS
        while self._minutes:
            name, minute = next(iter(self._minutes.items()))
            if minute.running:
                self._minutes.move_to_end(name)  # one long call must not keep those behind it
                break
            if tick - minute.last <= TICKS:
                break
            del self._minutes[name]
        minutes = []
        for scope in scopes:
            minute = self._minutes.setdefault(scope.name, _Minute())
            self._minutes.move_to_end(scope.name)
            minute.slide_to(tick)
            minutes.append(minute)
        return minutes

    def _add(self, scopes: Sequence[Scope], minutes: Sequence[_Minute], call: str, tokens: int, now_ms: int) -> Taken:
        tick = now_ms // TICK_MS
        for scope, minute in zip(scopes, minutes, strict=True):
            spent = minute.spent.setdefault(tick, _Spent())
            charged = charged_tokens(scope, tokens)
            spent.requests += 1
            spent.tokens += charged
            minute.requests += 1
            minute.tokens += charged
            minute.last = tick
            if scope.parallel is not None:
                minute.running.add(call)
        return Taken(scopes, call, tokens, tick, [minute.use(now_ms) for minute in minutes])


def _lacks(scope: Scope, minute: _Minute, tokens: int, now_ms: int) -> list[tuple[Kind, int]]:
    """What a scope has too little of, and how long until there is enough."""
    found = []
    if scope.requests is not None and (excess := minute.requests + 1 - scope.requests) > 0:
        found.append((Kind.REQUESTS, minute.free_in_ms(now_ms, excess, lambda spent: spent.requests)))
    if scope.tokens is not None:
        excess = minute.tokens + charged_tokens(scope, tokens) - scope.tokens
        if excess > 0:
            found.append((Kind.TOKENS, minute.free_in_ms(now_ms, excess, lambda spent: spent.tokens)))
    if scope.parallel is not None and len(minute.running) >= scope.parallel:
        found.append((Kind.PARALLEL_CALLS, PARALLEL_RETRY_MS))
    return found
