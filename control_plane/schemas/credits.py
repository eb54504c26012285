"""The wire of the credits: where a team stands, its ledger, its billing plan, and what an administrator changes."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from control_plane.schemas.base import Answer, Body, Moment, Text

MAX_CREDITS = 10**15

BudgetModeName = Literal["job_based", "consumption_usd", "consumption_tokens"]
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
    """Gives a team credits."""

    credits: Amount
    reason: Reason


class RefundCredits(Body):
    """Gives back credits that were used: of one job (at most what it was charged, and once), or in general."""

    credits: Amount
    reason: Reason
    job_id: str | None = None


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
