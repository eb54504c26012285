"""Reservations: a call's worst case must fit into the job's caps and the team's credits. Pure.

Decided in `_reserve` of `jobs/admission.py`; SQL: `credits/store.py` (credits), `jobs/calls_store.py` (the job's row).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from control_plane.chat import UsageEstimate
from control_plane.credits.rules import JobUsage, Plan, needed_hold
from control_plane.units import Credits, marked_up


@dataclass(frozen=True, slots=True)
class Caps:
    """A client's caps of its job. `max_cost` in nano-USD of provider cost.

    `is_clamped`: a call that does not fit is made with fewer tokens, if any fit, instead of being rejected.
    """

    max_credits: int | None = None
    max_cost: int | None = None
    is_clamped: bool = False

    @property
    def are_set(self) -> bool:
        """Whether anything is capped."""
        return self.max_credits is not None or self.max_cost is not None


@dataclass(frozen=True, slots=True)
class JobReservation:
    """The reservation of an open job. `usage` and `cost` of its ended calls; reserved: the worst case of its open ones.

    `held` are the job's credits; `reserved_price` is `reserved_cost` with the markup.
    """

    plan: Plan
    caps: Caps
    usage: JobUsage
    cost: int
    held: int
    reserved_tokens: int = 0
    reserved_cost: int = 0
    reserved_price: int = 0

    @property
    def is_reserving(self) -> bool:
        """Whether its calls' worst cases matter: a job with a fixed price and no caps needs none of this."""
        return self.caps.are_set or not self.plan.is_fixed

    def plus(self, demand: UsageEstimate, markup_bps: int) -> "JobReservation":
        """This job with one more open call."""
        return replace(
            self,
            reserved_tokens=self.reserved_tokens + demand.tokens,
            reserved_cost=self.reserved_cost + demand.cost,
            reserved_price=self.reserved_price + marked_up(demand.cost, markup_bps),
        )

    @property
    def needed(self) -> Credits:
        """The credits that it must hold."""
        worst = replace(
            self.usage, tokens=self.usage.tokens + self.reserved_tokens, price=self.usage.price + self.reserved_price
        )
        return needed_hold(self.plan, worst)

    @property
    def missing(self) -> int:
        """The credits that it must hold beyond its hold; negative: it holds too many."""
        return self.needed - self.held

    @property
    def is_within_caps(self) -> bool:
        """Whether even the worst case stays within what the client set."""
        caps = self.caps
        return (caps.max_credits is None or self.needed <= caps.max_credits) and (
            caps.max_cost is None or self.cost + self.reserved_cost <= caps.max_cost
        )


def affordable_max_tokens(demand: UsageEstimate, fits: Callable[[UsageEstimate], bool]) -> int:
    """The longest answer with which a call fits, in tokens; 0 when not even the prompt does. `fits` must be monotone."""
    low, high = 0, demand.max_tokens  # the answer lies in [low, high]
    while low < high:
        middle = (low + high + 1) // 2
        if fits(replace(demand, max_tokens=middle)):
            low = middle
        else:
            high = middle - 1
    return low
