"""The billing plan, copied from a team to its jobs (D7), and its inputs in a job's columns. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from control_plane.credits.reservations import Caps, JobReservation
from control_plane.credits.rules import BudgetMode, ChargeRule, JobUsage, Plan
from control_plane.tenants.models import Team

RESERVATION_COLUMNS = (
    "plan",
    "calls_total",
    "calls_succeeded",
    "calls_delivered",
    "prompt_tokens",
    "completion_tokens",
    "cost_nano_usd",
    "price_nano_usd",
    "reserved_tokens",
    "reserved_cost_nano_usd",
    "reserved_price_nano_usd",
    "credits_held",
    "max_credits",
    "max_cost_nano_usd",
    "is_clamped",
)
"""As much of a job as decides about the holds of its calls."""


def plan_of(team: Team, job_type: str) -> Plan:
    """The plan the team has now for jobs of a type; a new job gets a copy."""
    return Plan(
        budget_mode=BudgetMode(team.budget_mode),
        credits_per_dollar=team.credits_per_dollar,
        tokens_per_credit=team.tokens_per_credit,
        charge_rule=ChargeRule(team.charge_rule),
        markup_bps=team.markup_bps,
        fixed_credits=(team.job_type_prices or {}).get(job_type),
    )


def write_plan(plan: Plan) -> dict[str, Any]:
    """The plan as a job stores it."""
    return asdict(plan)


def read_plan(stored: Mapping[str, Any]) -> Plan:
    """The plan stored with a job; the oldest have neither markup nor fixed price. Raises: ValueError for an unknown
    mode.
    """
    return Plan(
        budget_mode=BudgetMode(stored["budget_mode"]),
        credits_per_dollar=stored["credits_per_dollar"],
        tokens_per_credit=stored["tokens_per_credit"],
        charge_rule=ChargeRule(stored["charge_rule"]),
        markup_bps=stored.get("markup_bps", 0),
        fixed_credits=stored.get("fixed_credits"),
    )


def usage_of(job: Any) -> JobUsage:
    """Usage of the finished calls of a job (a Job, or a row with its columns)."""
    return JobUsage(
        calls=job.calls_total,
        succeeded=job.calls_succeeded,
        delivered=job.calls_delivered,
        tokens=job.prompt_tokens + job.completion_tokens,
        price=job.price_nano_usd,
    )


def reservation_of(job: Any) -> JobReservation:
    """The reservation of a job (a Job, or a row with RESERVATION_COLUMNS)."""
    return JobReservation(
        plan=read_plan(job.plan),
        caps=Caps(max_credits=job.max_credits, max_cost=job.max_cost_nano_usd, is_clamped=job.is_clamped),
        usage=usage_of(job),
        cost=job.cost_nano_usd,
        held=job.credits_held,
        reserved_tokens=job.reserved_tokens,
        reserved_cost=job.reserved_cost_nano_usd,
        reserved_price=job.reserved_price_nano_usd,
    )
