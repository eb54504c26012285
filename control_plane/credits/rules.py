"""The billing rules: a job's hold, its price, and the ledger movements that follow. Pure.

Money is never guessed: an unknown mode or rule is an error (assert_never), not a default.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from control_plane.units import NANO_PER_USD, Credits, divide_up


class BudgetMode(StrEnum):
    """How a completed job is charged."""

    JOB_BASED = "job_based"
    """One credit, however many calls."""
    CONSUMPTION_USD = "consumption_usd"
    """`credits_per_dollar` for each dollar of the price: the provider's cost and the markup."""
    CONSUMPTION_TOKENS = "consumption_tokens"
    """One credit for every `tokens_per_credit` tokens."""


class ChargeRule(StrEnum):
    """When a completed job is charged (D11)."""

    ANY_CALL_SUCCEEDED = "any_call_succeeded"
    ALL_CALLS_SUCCEEDED = "all_calls_succeeded"


@dataclass(frozen=True, slots=True)
class Plan:
    """A team's billing plan, as copied onto a job when it is created (D7).

    `markup_bps` is added to the cost of calls whose model group has no own markup. `fixed_credits`: the price of a job
    of this type in any budget mode.
    """

    budget_mode: BudgetMode = BudgetMode.JOB_BASED
    credits_per_dollar: int = 10
    tokens_per_credit: int = 10_000
    charge_rule: ChargeRule = ChargeRule.ANY_CALL_SUCCEEDED
    markup_bps: int = 0
    fixed_credits: int | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether a job has the same price whatever its calls use."""
        return self.fixed_credits is not None or self.budget_mode is BudgetMode.JOB_BASED


@dataclass(frozen=True, slots=True)
class JobUsage:
    """Usage of a job's calls. `price` (nano-USD, with the markup) and `tokens` count billable calls.

    `delivered`: calls that delivered content to the client, complete or not.
    """

    calls: int = 0
    succeeded: int = 0
    delivered: int = 0
    tokens: int = 0
    price: int = 0


class EntryKind(StrEnum):
    """All kinds of credit movements in the ledger."""

    GRANT = "grant"
    REFILL = "refill"
    ADJUSTMENT = "adjustment"
    EXPIRY = "expiry"
    REFUND = "refund"
    HOLD = "hold"
    RELEASE = "release"
    DEDUCTION = "deduction"


ALLOCATING = frozenset({EntryKind.GRANT, EntryKind.REFILL, EntryKind.ADJUSTMENT, EntryKind.EXPIRY})
"""Movements that change the allocation; the others use it."""


class Limit(StrEnum):
    """The condition of a movement on the balance."""

    MAX_CREDITS = "max_credits"
    """The most credits a team may ever be given."""
    AVAILABLE = "available"
    """Held or removed credits must be available."""
    USED = "used"
    """Refunded credits must have been used."""
    NONE = "none"
    """A finished job is billed in full (D6), and what is held can always be given back."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One ledger entry to be: how available and held change. Deltas are in credits and may be negative."""

    kind: EntryKind
    available: int = 0
    held: int = 0

    @property
    def allocated(self) -> int:
        """The change of the team's allocation: credits added or removed."""
        return self.available if self.kind in ALLOCATING else 0

    @property
    def used(self) -> int:
        """The change of the team's use: deductions add to it, refunds reduce it."""
        return self.allocated - self.available - self.held

    @property
    def remaining(self) -> int:
        """The change of the team's unused credits; holds and releases do not change them."""
        return self.available + self.held

    @property
    def is_giving(self) -> bool:
        """Whether it gives the team credits to use: a grant comes of it."""
        return self.available > 0 and self.kind is not EntryKind.RELEASE

    @property
    def limit(self) -> Limit:
        """The condition on the balance."""
        match self.kind:
            case EntryKind.GRANT | EntryKind.REFILL:
                return Limit.MAX_CREDITS
            case EntryKind.ADJUSTMENT:
                return Limit.MAX_CREDITS if self.available > 0 else Limit.AVAILABLE
            case EntryKind.HOLD | EntryKind.EXPIRY:
                return Limit.AVAILABLE
            case EntryKind.REFUND:
                return Limit.USED
            case EntryKind.RELEASE | EntryKind.DEDUCTION:
                return Limit.NONE
            case _:
                assert_never(self.kind)


def price(plan: Plan, usage: JobUsage) -> Credits:
    """Credits for what was used, as if the job were completed and charged. Rounded up once, at the end."""
    if plan.fixed_credits is not None:
        return Credits(plan.fixed_credits)
    match plan.budget_mode:
        case BudgetMode.JOB_BASED:
            return Credits(1)
        case BudgetMode.CONSUMPTION_USD:
            return Credits(divide_up(usage.price * plan.credits_per_dollar, NANO_PER_USD))
        case BudgetMode.CONSUMPTION_TOKENS:
            return Credits(divide_up(usage.tokens, plan.tokens_per_credit))
        case _:
            assert_never(plan.budget_mode)


def bill(plan: Plan, *, is_completed: bool, usage: JobUsage) -> Credits:
    """The charge of a closed job: its price when it is charged, else 0 (D11).

    Source: seeds S0 and S1 ("1 per completed job"); a failed, cancelled or expired job costs nothing, and neither does
    a completed one that delivered nothing. A stream that the client cut off was delivered: breaking off before the last
    chunk does not make a job free (D12).
    """
    match plan.charge_rule:
        case ChargeRule.ANY_CALL_SUCCEEDED:
            is_earned = usage.delivered > 0
        case ChargeRule.ALL_CALLS_SUCCEEDED:
            is_earned = usage.succeeded > 0 and usage.succeeded == usage.calls
        case _:
            assert_never(plan.charge_rule)
    return price(plan, usage) if is_completed and is_earned else Credits(0)


def needed_hold(plan: Plan, usage: JobUsage) -> Credits:
    """A job's hold: the price of its calls' usage and of the worst case of its open calls.

    At least one credit, so that a team without any cannot begin; nothing when the job's type is free.
    """
    if plan.is_fixed:
        return price(plan, usage)
    return max(Credits(1), price(plan, usage))


def hold(credits_: int) -> Movement:
    """Sets credits aside for a job."""
    return Movement(EntryKind.HOLD, available=-credits_, held=credits_)


def release(credits_: int) -> Movement:
    """Gives back what a job no longer needs to hold."""
    return Movement(EntryKind.RELEASE, available=credits_, held=-credits_)


def settle(charged: Credits, held: int) -> Sequence[Movement]:
    """The movements that close a job: the deduction, first from what was held, and the release of the rest.

    Whatever the numbers: held ends where it was before the hold, and exactly `charged` credits leave the balance.
    """
    from_hold = min(charged, held)
    movements = []
    if charged:
        movements.append(Movement(EntryKind.DEDUCTION, available=from_hold - charged, held=-from_hold))
    if held > from_hold:
        movements.append(Movement(EntryKind.RELEASE, available=held - from_hold, held=from_hold - held))
    return movements
