"""Types of rate limits and the sizes of shares. Pure. The decision: `_exceeded` in `process.py` (memory), `take.lua` by
`shared.py` (Redis).

A minute is a sliding one: in no 60 seconds more is let through than the limit. Time is counted in ticks of a tenth of a
second, so used amounts are free again after 60.0 to 60.1 s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from control_plane.chat import UsageEstimate

TICK_MS = 100
TICKS = 600
"""A minute."""

LIKELY_ANSWER_TOKENS = 500
"""Assumed tokens of an answer without a limit, until it arrives: a few paragraphs."""

PARALLEL_RETRY_MS = 1_000
"""Retry time for a call beyond the parallel limit: the end of a call cannot be predicted."""


class Kind(StrEnum):
    """What is limited."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    PARALLEL_CALLS = "parallel_calls"
    JOBS = "jobs"


@dataclass(frozen=True, slots=True)
class LimitScope:
    """Something limited. `name` is its own and no other's; `owner` is what a refusal calls it. None: without a limit."""

    name: str
    owner: str
    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class WindowUse:
    """The current use of a scope, and the milliseconds until all of its minute is free again."""

    requests: int = 0
    tokens: int = 0
    parallel: int = 0
    reset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Acquired:
    """The requested amounts were free, and are taken, in every scope. `tick`: the time, by the clock of the counter."""

    scopes: Sequence[LimitScope]
    call: str
    tokens: int
    tick: int
    uses: Sequence[WindowUse]

    def corrections(self, used: int) -> Sequence[int]:
        """Corrections of each scope when the call turns out to have used so many tokens."""
        return [used - charged_tokens(scope, self.tokens) for scope in self.scopes]


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Something was not free, and nothing is taken. Of several, the one that takes longest; `scope` is its position."""

    scope: int
    kind: Kind
    retry_after_ms: int
    uses: Sequence[WindowUse]
    tick: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """The limits for the client: the tightest of them, after its call."""

    limit_requests: int | None
    remaining_requests: int
    reset_requests_ms: int
    limit_tokens: int | None
    remaining_tokens: int
    reset_tokens_ms: int


def expected_tokens(demand: UsageEstimate, *, is_bounded: bool) -> int:
    """The tokens that a call counts as until its answer arrives: its prompt and, if it `is_bounded`, its requested
    answers.
    """
    answer = demand.max_tokens if is_bounded else min(demand.max_tokens, LIKELY_ANSWER_TOKENS)
    return demand.expected_prompt_tokens + demand.answers * answer


def charged_tokens(scope: LimitScope, tokens: int) -> int:
    """The initial charge of a scope for so many tokens. A call larger than a minute's tokens waits for an empty minute."""
    return tokens if scope.tokens is None else min(tokens, scope.tokens)


def share_of(scope: LimitScope, processes: int) -> LimitScope:
    """One process's share of a scope without common counting; at least one."""

    def part(limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // processes)

    return replace(scope, requests=part(scope.requests), tokens=part(scope.tokens), parallel=part(scope.parallel))


def local_share(limit: int, *, base: int, others: int, processes: int) -> int:
    """How much of a limit one of so many processes may give without Redis: its share of the remainder.

    `base`: its own use, given through Redis, that still counts. `others`: the use of the other processes by Redis' last
    response; 0 if there was none within the minute. As a process may not have used Redis for long, none gives more than
    its share of the whole limit either. At least one is given if no use is known: the limit may be less than one for
    each.
    """
    share = min(limit // processes - base, (limit - base - others) // processes)
    return share if base or others else max(share, 1)


def local_limits(scope: LimitScope, base: WindowUse, others: WindowUse, processes: int) -> LimitScope:
    """This process's limits of a scope without Redis, its own use before the outage (`base`) included."""

    def part(limit: int | None, used: int, by_others: int) -> int | None:
        return None if limit is None else used + local_share(limit, base=used, others=by_others, processes=processes)

    return replace(
        scope,
        requests=part(scope.requests, base.requests, others.requests),
        tokens=part(scope.tokens, base.tokens, others.tokens),
        parallel=part(scope.parallel, base.parallel, others.parallel),
    )


def use_of_share(use: WindowUse, limits: LimitScope, share: LimitScope) -> WindowUse:
    """The same use with the same remainder, counted against the process' share instead of its `local_limits`."""

    def used(amount: int, limit: int | None, part: int | None) -> int:
        return amount if limit is None or part is None else part - max(0, limit - amount)

    return replace(
        use,
        requests=used(use.requests, limits.requests, share.requests),
        tokens=used(use.tokens, limits.tokens, share.tokens),
    )


def limit_status_of(scopes: Sequence[LimitScope], uses: Sequence[WindowUse]) -> LimitStatus:
    """The tightest limit of requests and of tokens."""
    requests = [
        (max(0, scope.requests - use.requests), scope.requests, use.reset_ms)
        for scope, use in zip(scopes, uses, strict=True)
        if scope.requests is not None
    ]
    tokens = [
        (max(0, scope.tokens - use.tokens), scope.tokens, use.reset_ms)
        for scope, use in zip(scopes, uses, strict=True)
        if scope.tokens is not None
    ]
    remaining_requests, limit_requests, reset_requests = min(requests, default=(0, None, 0))
    remaining_tokens, limit_tokens, reset_tokens = min(tokens, default=(0, None, 0))
    return LimitStatus(limit_requests, remaining_requests, reset_requests, limit_tokens, remaining_tokens, reset_tokens)
