"""The last minute of one scope, as one process counts it: its own use, what it gave without Redis, and what of that Redis lacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from control_plane.limits.rules import TICK_MS, TICKS, LimitScope, WindowUse, local_limits


@dataclass(slots=True)
class Spent:
    """What was used in one tick."""

    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Window:
    """What was used in each tick of a minute, oldest first, and in sum."""

    spent: dict[int, Spent] = field(default_factory=dict)
    requests: int = 0
    tokens: int = 0

    def slide_to(self, tick: int) -> None:
        """Forgets what was used before the minute that ends with `tick`."""
        while self.spent:
            oldest = next(iter(self.spent))
            if tick - oldest <= TICKS:
                return
            gone = self.spent.pop(oldest)
            self.requests -= gone.requests
            self.tokens -= gone.tokens

    def add(self, tick: int, requests: int, tokens: int) -> None:
        """Counts more in a tick, or less."""
        spent = self.spent.setdefault(tick, Spent())
        spent.requests += requests
        spent.tokens += tokens
        self.requests += requests
        self.tokens += tokens

    def clear(self) -> None:
        """Forgets all of it."""
        self.spent.clear()
        self.requests = self.tokens = 0

    def free_in_ms(self, now_ms: int, excess: int, amount: Callable[[Spent], int]) -> int:
        """How long until so much has slid out."""
        freed = 0
        for tick, spent in self.spent.items():
            freed += amount(spent)
            if freed >= excess:
                return (tick + TICKS + 1) * TICK_MS - now_ms
        return (TICKS + 1) * TICK_MS


@dataclass(slots=True)
class Unreported:
    """What Redis lacks of a tick (less than nothing: what it has too much), and the tick of Redis where it belongs."""

    requests: int = 0
    tokens: int = 0
    redis_tick: int | None = None


@dataclass(slots=True)
class Report:
    """What is sent to Redis of one scope. `ticks`: the tick here, the tick there, requests, tokens."""

    minute: "Minute"
    generation: int
    name: str
    ticks: Sequence[tuple[int, int, int, int]]
    running: Sequence[str]
    ended: Sequence[str]


@dataclass(slots=True)
class Minute:
    """The last minute of a scope. `generation`: the memory of Redis that `unreported` is about, see `ProcessLimits`."""

    name: str
    generation: int = 0
    used: Window = field(default_factory=Window)
    running: set[str] = field(default_factory=set)
    last: int = 0
    local: Window = field(default_factory=Window)
    """The part of `used` that was given without Redis since its last answer about this scope."""
    local_running: set[str] = field(default_factory=set)
    others: WindowUse | None = None
    """What the other processes used, by Redis' last answer. None once that is a minute old."""
    others_tick: int = 0
    answered: tuple[int, int] = (0, 0)
    """The last answer's tick and requests: answers overtake each other."""
    unreported: dict[int, Unreported] = field(default_factory=dict)
    to_place: set[str] = field(default_factory=set)
    to_free: set[str] = field(default_factory=set)

    def slide_to(self, tick: int) -> None:
        """Forgets what is more than a minute before `tick`."""
        self.used.slide_to(tick)
        self.local.slide_to(tick)
        if self.others is not None and tick - self.others_tick > TICKS:
            self.others = None
        while self.unreported:
            oldest = next(iter(self.unreported))
            if tick - oldest <= TICKS:
                return
            del self.unreported[oldest]

    def use(self, now_ms: int) -> WindowUse:
        """As it stands."""
        reset_ms = (self.last + TICKS + 1) * TICK_MS - now_ms if self.used.spent else 0
        return WindowUse(self.used.requests, self.used.tokens, len(self.running), reset_ms)

    def free_in_ms(self, now_ms: int, excess: int, amount: Callable[[Spent], int]) -> int:
        """How long until there is room for so much. What others used is free again a minute after Redis' last answer."""
        free_ms = self.used.free_in_ms(now_ms, excess, amount)
        return free_ms if self.others is None else min(free_ms, (self.others_tick + TICKS + 1) * TICK_MS - now_ms)

    def local_limits(self, scope: LimitScope, processes: int) -> LimitScope:
        """What this process may use of the scope while it counts without Redis."""
        base = WindowUse(
            self.used.requests - self.local.requests,
            self.used.tokens - self.local.tokens,
            len(self.running) - len(self.local_running),
        )
        return local_limits(scope, base, self.others or WindowUse(), processes)

    def add(self, tick: int, call: str, tokens: int, *, has_place: bool, is_local: bool) -> None:
        """Counts a call."""
        self.used.add(tick, 1, tokens)
        self.last = tick
        if is_local:
            self.local.add(tick, 1, tokens)
        if has_place:
            self.running.add(call)
            if is_local:
                self.local_running.add(call)

    def correct(self, tick: int, call: str, requests: int, tokens: int, *, is_local: bool) -> bool:
        """The call has ended: its place is free, and so much more is counted in its tick. False: the tick is forgotten."""
        self.running.discard(call)
        self.local_running.discard(call)
        if is_local and tick in self.local.spent:
            self.local.add(tick, requests, tokens)
        is_counted = tick in self.used.spent
        if is_counted:
            self.used.add(tick, requests, tokens)
        return is_counted

    def observe(self, use: WindowUse, tick: int, now_tick: int, charged: tuple[int, int]) -> None:
        """Redis answered in its tick `tick` that all processes used so much; `charged`: requests and tokens of this call."""
        if self.others is not None and (tick, use.requests) < self.answered:
            # A later answer came first. It counted this call, which was not noted here yet, as another process'.
            requests, tokens = charged
            self.others = WindowUse(
                max(0, self.others.requests - requests), max(0, self.others.tokens - tokens), self.others.parallel
            )
            return
        self.answered, self.others_tick = (tick, use.requests), now_tick
        self.others = WindowUse(
            max(0, use.requests - self.used.requests),
            max(0, use.tokens - self.used.tokens),
            max(0, use.parallel - len(self.running)),
        )
        self.local.clear()
        self.local_running.clear()

    def lack(self, tick: int, requests: int, tokens: int) -> None:
        """Redis has counted so much less in this tick than was used."""
        unreported = self.unreported.setdefault(tick, Unreported())
        unreported.requests += requests
        unreported.tokens += tokens

    def start_over(self, generation: int) -> bool:
        """If Redis has lost its memory since, it lacks everything. True: it has not."""
        is_known = self.generation == generation
        if not is_known:
            self.generation = generation
            self.unreported = {
                tick: Unreported(spent.requests, spent.tokens) for tick, spent in self.used.spent.items()
            }
            self.to_place, self.to_free = set(self.running), set()
        return is_known

    def report(self, offset: int) -> Report:
        """Everything that Redis lacks, from now on taken for reported. `offset`: from ticks here to those of Redis."""
        ticks = []
        for tick, lacking in self.unreported.items():
            if lacking.redis_tick is None:
                lacking.redis_tick = tick + offset
            if lacking.requests or lacking.tokens:
                ticks.append((tick, lacking.redis_tick, lacking.requests, lacking.tokens))
                lacking.requests = lacking.tokens = 0
        made = Report(self, self.generation, self.name, ticks, list(self.to_place), list(self.to_free))
        self.to_place, self.to_free = set(), set()
        return made

    def take_back(self, report: Report) -> None:
        """The answer to a report was lost, so it may have arrived. It is repeated without what would make Redis count less.

        So Redis may count too much for a minute, and never too little.
        """
        if report.generation != self.generation:
            return  # since then Redis has lost its memory, and lacks everything
        for tick, _, requests, tokens in report.ticks:
            self.lack(tick, max(0, requests), max(0, tokens))
        self.to_place.update(self.running.intersection(report.running))
        self.to_free.update(report.ended)
