"""The wire of the credits: where a team stands, its ledger, its billing plan, and what an administrator changes."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.schemas.base import Answer, Body, GivenMoment, Moment, Text

MAX_CREDITS = 10**15
MAX_PRIORITY = 1000
DEFAULT_PRIORITY = 100

BudgetModeName = Literal["job_based", "consumption_usd", "consumption_tokens"]
PeriodName = Literal["daily", "weekly", "monthly"]
ChargeRuleName = Literal["any_call_succeeded", "all_calls_succeeded"]

Amount = Annotated[int, Field(strict=True, gt=0, le=MAX_CREDITS)]
"""Whole credits; not a number in quotes, not 1.0, not true."""

Rate = Annotated[int, Field(strict=True, gt=0, le=10**9)]

Markup = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
"""Hundredths of a percent of the provider's cost: 2000 adds 20 %."""

JobTypePrices = Annotated[
    dict[
        Annotated[Text, Field(min_length=1, max_length=200)], Annotated[int, Field(strict=True, ge=0, le=MAX_CREDITS)]
    ],
    Field(max_length=1000),
]
"""Credits for a job of a type, whatever its calls cost; other types cost what the budget mode says."""

Reason = Annotated[Text, Field(min_length=1, max_length=500)]


def _not_zero(amount: int) -> int:
    if amount == 0:
        raise ValueError("an adjustment of 0 credits changes nothing")
    return amount


class CreditsAnswer(Answer):
    """Where a team stands. remaining = allocated − used = available + held; the same numbers on every surface."""

    team_id: str
    credits_allocated: int
    credits_used: int
    credits_held: int
    credits_available: int
    credits_remaining: int


class AddCredits(Body):
    """Gives a team credits. Those of a lower priority are used up first, then those that expire sooner, then the older."""

    credits: Amount
    reason: Reason
    priority: Annotated[int, Field(strict=True, ge=0, le=MAX_PRIORITY)] = DEFAULT_PRIORITY
    expires_at: GivenMoment | None = None


class RefundCredits(Body):
    """Gives back credits that were used: of one job, or in general.

    A job is refunded once, in full or in part; with `force` again, but never more in all than it was charged. Without
    `credits`: all that is left of its charge.
    """

    credits: Amount | None = None
    reason: Reason
    job_id: str | None = None
    force: bool = False

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if self.credits is None and self.job_id is None:
            raise ValueError("say how many credits, or of which job")
        return self


class AdjustCredits(Body):
    """Corrects a team's allocation; downwards at most by what is available."""

    credits: Annotated[int, Field(strict=True, ge=-MAX_CREDITS, le=MAX_CREDITS), AfterValidator(_not_zero)]
    reason: Reason


class TransactionAnswer(Answer):
    """One entry of a team's ledger; it never changes. `ref` is what it is about: a job, a call, a request."""

    transaction_id: str
    number: int
    kind: str
    ref: str
    available_delta: int
    held_delta: int
    available_after: int
    held_after: int
    remaining_after: int
    reason: str | None
    actor: str
    created_at: Moment


class TransactionList(Answer):
    """A team's ledger, newest first. `next_cursor` leads to the next page; null on the last."""

    team_id: str
    transactions: Sequence[TransactionAnswer]
    limit: int
    next_cursor: str | None


class GrantAnswer(Answer):
    """Credits given at once, and how many of them are left."""

    grant_id: str
    credits_granted: int
    credits_left: int
    priority: int
    expires_at: Moment | None
    created_at: Moment


class GrantList(Answer):
    """The grants of which something is left, in the order in which they are used up.

    `next_cursor` leads to the next page; null on the last.
    """

    team_id: str
    grants: Sequence[GrantAnswer]
    next_cursor: str | None


class ConfigureAutoRefill(Body):
    """Gives the team credits at the beginning of every period, from the next one on; `enabled: false` ends that.

    Periods are counted from the local date `starts_on` (default: today): monthly from the 31st means the last day of
    shorter months. Without `rollover`, what is left of a refill expires with the next.
    """

    enabled: bool = True
    refill_amount: Amount | None = None
    refill_period: PeriodName | None = None
    timezone: Annotated[Text, Field(max_length=64)] = "UTC"
    starts_on: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2200, 1, 1))] | None = None
    rollover: bool = True

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.enabled and (self.refill_amount is None or self.refill_period is None):
            raise ValueError("an automatic refill needs refill_amount and refill_period")
        return self


class AutoRefillAnswer(Answer):
    """How a team is refilled. Everything but `enabled` is null when it is not."""

    team_id: str
    enabled: bool
    refill_amount: int | None
    refill_period: PeriodName | None
    timezone: str | None
    starts_on: date | None
    rollover: bool | None
    next_refill_at: Moment | None


class SetLowBalance(Body):
    """Sets below how many remaining credits an event is written; null: never."""

    threshold: Amount | None


class LowBalanceAnswer(Answer):
    """Below how many remaining credits (available and held) an event is written; null: never."""

    team_id: str
    low_balance_threshold: int | None
    credits_remaining: int


class EventAnswer(Answer):
    """Something about a team's credits: `low_balance` when what remained fell below the threshold."""

    event_id: str
    kind: str
    credits_remaining: int
    threshold: int
    created_at: Moment


class EventList(Answer):
    """A team's events, newest first. `next_cursor` leads to the next page; null on the last."""

    team_id: str
    events: Sequence[EventAnswer]
    next_cursor: str | None


class BillingPlan(Answer):
    """What a team's next jobs will cost; jobs that exist keep the plan they were created with."""

    team_id: str
    budget_mode: BudgetModeName
    credits_per_dollar: int
    tokens_per_credit: int
    charge_rule: ChargeRuleName
    markup_bps: int
    job_type_prices: dict[str, int]


class ChangeBudgetMode(Body):
    """Sets how jobs are charged, and the rates with it where given."""

    budget_mode: BudgetModeName
    credits_per_dollar: Rate | None = None
    tokens_per_credit: Rate | None = None


class ChangeConversionRates(Body):
    """Sets the rates that are given."""

    credits_per_dollar: Rate | None = None
    tokens_per_credit: Rate | None = None
