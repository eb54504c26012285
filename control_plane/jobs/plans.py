"""The billing plan on its way from a team to its jobs (D7), and what a job's totals mean to it. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from control_plane.credits.rules import BudgetMode, ChargeRule, JobUsage, Plan
from control_plane.jobs.models import Job
from control_plane.tenants.models import Team


def plan_of(team: Team) -> Plan:
    """The plan the team has now; a new job gets a copy."""
    return Plan(
        budget_mode=BudgetMode(team.budget_mode),
        credits_per_dollar=team.credits_per_dollar,
        tokens_per_credit=team.tokens_per_credit,
        charge_rule=ChargeRule(team.charge_rule),
    )


def write_plan(plan: Plan) -> dict[str, Any]:
    """The plan as a job keeps it."""
    return asdict(plan)


def read_plan(kept: Mapping[str, Any]) -> Plan:
    """The plan a job kept. Raises: ValueError for a mode or rule that nobody knows."""
    return Plan(
        budget_mode=BudgetMode(kept["budget_mode"]),
        credits_per_dollar=kept["credits_per_dollar"],
        tokens_per_credit=kept["tokens_per_credit"],
        charge_rule=ChargeRule(kept["charge_rule"]),
    )


def usage_of(job: Job) -> JobUsage:
    """What the job's finished calls used."""
    return JobUsage(
        calls=job.calls_total,
        succeeded=job.calls_succeeded,
        tokens=job.prompt_tokens + job.completion_tokens,
        cost=job.cost_nano_usd,
    )
