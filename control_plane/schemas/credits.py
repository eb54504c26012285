"""Request and response models of credits: balance, ledger, billing plan, and an administrator's changes."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.schemas.base import Answer, Body, GivenMoment, Moment, Text

MAX_CREDITS = 10**15
MAX_PRIORITY = 1000
DEFAULT_PRIORITY = 100

# What a billing plan consists of, described once for all bodies and answers that hold one.
BUDGET_MODE = (
    "`job_based`: one credit (or the job type's price) for a completed job; `consumption_usd`: by price; "
    "`consumption_tokens`: by tokens"
)
CREDITS_PER_DOLLAR = "`consumption_usd`: credits for one US dollar of price"
TOKENS_PER_CREDIT = "`consumption_tokens`: tokens for one credit"
CHARGE_RULE = "a completed job is charged if any of its calls succeeded, or only if all did"
MARKUP = "markup on the provider's cost, in hundredths of a percent: 2000 is 20 %"
JOB_TYPE_PRICES = "credits for a job by job type, whatever its calls cost; other types are charged by `budget_mode`"

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
"""Credits for a job of a type, whatever its calls cost; the budget mode charges other types."""

Reason = Annotated[Text, Field(min_length=1, max_length=500)]


def _not_zero(amount: int) -> int:
    if amount == 0:
        raise ValueError("an adjustment of 0 credits changes nothing")
    return amount


class CreditsAnswer(Answer):
    """A team's balance. remaining = allocated − used = available + held; the same numbers in API, headers and CLI."""

    team_id: str = Field(description="id of the team")
    credits_allocated: int = Field(description="credits given to the team so far, in whole credits")
    credits_used: int = Field(description="credits that jobs were charged, less refunds")
    credits_held: int = Field(description="credits held for open jobs")
    credits_available: int = Field(description="credits that new jobs and calls may use: remaining less held")
    credits_remaining: int = Field(description="credits the team has left: available and held")


class AddCredits(Body):
    """Adds credits. Credits of a lower priority number are used first, then those that expire sooner, then the older."""

    credits: Amount = Field(description="whole credits to give")
    reason: Reason = Field(description="why, for the ledger; at most 500 characters")
    priority: Annotated[int, Field(strict=True, ge=0, le=MAX_PRIORITY)] = Field(
        default=DEFAULT_PRIORITY, description="0 to 1,000: credits of a lower number are used first"
    )
    expires_at: GivenMoment | None = Field(
        default=None, description="when the rest of them expires (RFC 3339, with a time zone); null: never"
    )


class RefundCredits(Body):
    """Refunds used credits: of one job, or in general.

    A job is refunded once, in full or in part; with `force` again, but never above its charge in all. Without
    `credits`: the rest of its charge.
    """

    credits: Amount | None = Field(
        default=None, description="whole credits to refund; default: the rest of the job's charge"
    )
    reason: Reason = Field(description="why, for the ledger; at most 500 characters")
    job_id: str | None = Field(default=None, description="the job to refund; default: none in particular")
    force: bool = Field(default=False, description="true: also if the job was already refunded")

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if self.credits is None and self.job_id is None:
            raise ValueError("give `credits`, `job_id`, or both")
        return self


class AdjustCredits(Body):
    """Corrects a team's allocation, downwards at most by the available credits."""

    credits: Annotated[int, Field(strict=True, ge=-MAX_CREDITS, le=MAX_CREDITS), AfterValidator(_not_zero)] = Field(
        description="whole credits: above 0 adds, below 0 takes away; not 0"
    )
    reason: Reason = Field(description="why, for the ledger; at most 500 characters")


class TransactionAnswer(Answer):
    """One entry of a team's ledger; it never changes. `ref` is its cause: a job, a call, a request."""

    transaction_id: str = Field(description="id of the entry")
    number: int = Field(description="number of the entry in the team's ledger, from 1 without gaps")
    kind: str = Field(
        description="what happened: `grant`, `refill`, `adjustment`, `expiry`, `refund`, `hold`, `release` or `deduction`"
    )
    ref: str = Field(description="cause: id of a job, a call or a request")
    available_delta: int = Field(description="change of the available credits")
    held_delta: int = Field(description="change of the held credits")
    available_after: int = Field(description="available credits after it")
    held_after: int = Field(description="held credits after it")
    remaining_after: int = Field(description="available and held credits after it")
    reason: str | None = Field(description="why, as the caller gave it; null: no reason was given")
    actor: str = Field(description="author: a key, the master key, or the server")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")


class TransactionList(Answer):
    """A team's ledger, newest first. `next_cursor` leads to the next page; null on the last."""

    team_id: str = Field(description="id of the team")
    transactions: Sequence[TransactionAnswer] = Field(description="the entries, newest first")
    limit: int = Field(description="entries per page at most")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class GrantAnswer(Answer):
    """Credits granted together, and how many of them are left."""

    grant_id: str = Field(description="id of the grant")
    credits_granted: int = Field(description="whole credits that were given")
    credits_left: int = Field(description="whole credits that are left of them")
    priority: int = Field(description="grants of a lower number are used first")
    expires_at: Moment | None = Field(description="when it expires (RFC 3339, UTC); null: never")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")


class GrantList(Answer):
    """Grants with credits left, in the order of their use. `next_cursor` leads to the next page; null on the last."""

    team_id: str = Field(description="id of the team")
    grants: Sequence[GrantAnswer] = Field(description="the grants, in the order of their use")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class ConfigureAutoRefill(Body):
    """Adds credits to the team at the start of every period, from the next one on; `enabled: false` stops it.

    Periods are counted from the local date `starts_on` (default: today): monthly from the 31st means the last day of
    shorter months. Without `rollover`, what is left of a refill expires with the next.
    """

    enabled: bool = Field(default=True, description="false: ends the automatic refill")
    refill_amount: Amount | None = Field(
        default=None, description="whole credits added at the start of each period; needed when `enabled`"
    )
    refill_period: PeriodName | None = Field(default=None, description="how long a period is; needed when `enabled`")
    timezone: Annotated[Text, Field(max_length=64)] = Field(
        default="UTC", description="IANA time zone in which the periods begin: `Europe/Berlin`"
    )
    starts_on: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2200, 1, 1))] | None = Field(
        default=None, description="local date that the periods are counted from (YYYY-MM-DD); default: today"
    )
    rollover: bool = Field(default=True, description="whether credits left of a refill stay when the next one comes")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.enabled and (self.refill_amount is None or self.refill_period is None):
            raise ValueError("an automatic refill needs refill_amount and refill_period")
        return self


class AutoRefillAnswer(Answer):
    """A team's auto-refill. All fields but `enabled` are null when it is disabled."""

    team_id: str = Field(description="id of the team")
    enabled: bool = Field(description="whether the team is refilled")
    refill_amount: int | None = Field(description="whole credits added at the start of each period")
    refill_period: PeriodName | None = Field(description="how long a period is")
    timezone: str | None = Field(description="IANA time zone in which the periods begin: `Europe/Berlin`")
    starts_on: date | None = Field(description="local date that the periods are counted from (YYYY-MM-DD)")
    rollover: bool | None = Field(description="whether credits left of a refill stay when the next one comes")
    next_refill_at: Moment | None = Field(description="when the next refill comes (RFC 3339, UTC)")


class SetLowBalance(Body):
    """Sets the remaining credits below which an event is written; null: never."""

    threshold: Amount | None = Field(description="whole credits; null: no event is written")


class LowBalanceAnswer(Answer):
    """The remaining credits (available and held) below which an event is written; null: never."""

    team_id: str = Field(description="id of the team")
    low_balance_threshold: int | None = Field(description="whole credits; null: no event is written")
    credits_remaining: int = Field(description="credits the team has left: available and held")


class EventAnswer(Answer):
    """A credit event: `low_balance` when the remaining credits fell below the threshold."""

    event_id: str = Field(description="id of the event")
    kind: str = Field(description="`low_balance`")
    credits_remaining: int = Field(description="credits that remained, available and held")
    threshold: int = Field(description="the threshold")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")


class EventList(Answer):
    """A team's events, newest first. `next_cursor` leads to the next page; null on the last."""

    team_id: str = Field(description="id of the team")
    events: Sequence[EventAnswer] = Field(description="the events, newest first")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class BillingPlan(Answer):
    """How a team's new jobs are charged; existing jobs keep the plan they were created with."""

    team_id: str = Field(description="id of the team")
    budget_mode: BudgetModeName = Field(description=BUDGET_MODE)
    credits_per_dollar: int = Field(description=CREDITS_PER_DOLLAR)
    tokens_per_credit: int = Field(description=TOKENS_PER_CREDIT)
    charge_rule: ChargeRuleName = Field(description=CHARGE_RULE)
    markup_bps: int = Field(description=MARKUP)
    job_type_prices: dict[str, int] = Field(description=JOB_TYPE_PRICES)


class ChangeBudgetMode(Body):
    """Sets how jobs are charged, and the rates with it where given."""

    budget_mode: BudgetModeName = Field(description=BUDGET_MODE)
    credits_per_dollar: Rate | None = Field(default=None, description=f"{CREDITS_PER_DOLLAR}; left out: as it is")
    tokens_per_credit: Rate | None = Field(default=None, description=f"{TOKENS_PER_CREDIT}; left out: as it is")


class ChangeConversionRates(Body):
    """Sets the rates that are given."""

    credits_per_dollar: Rate | None = Field(default=None, description=f"{CREDITS_PER_DOLLAR}; left out: as it is")
    tokens_per_credit: Rate | None = Field(default=None, description=f"{TOKENS_PER_CREDIT}; left out: as it is")
