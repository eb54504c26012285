"""Monthly usage of a team or an organization: the query and the response."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from control_plane.errors import Unprocessable
from control_plane.jobs.usage_rollups_store import UsageOfPart, UsageOfType
from control_plane.schemas.jobs import PartUsage, TypeUsage, UsageSummary
from control_plane.units import usd

_MONTH = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """A month in UTC, from `start` to before `end`; `name` is YYYY-MM."""

    name: str
    start: datetime
    end: datetime


def month_of(period: str | None, now: datetime) -> Month:
    """The requested month, or the current one. Raises: Unprocessable for anything but YYYY-MM."""
    name = now.astimezone(UTC).strftime("%Y-%m") if period is None else period
    match = _MONTH.fullmatch(name)
    if match is None:
        raise Unprocessable("period must be a month as YYYY-MM, for example 2026-11.")
    year, number = int(match[1]), int(match[2])
    start = datetime(year, number, 1, tzinfo=UTC)
    return Month(name, start, end=datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC))


def summarize(rows: Sequence[UsageOfType]) -> tuple[UsageSummary, dict[str, TypeUsage]]:
    """Usage in sum and by job type. A job that still runs counts as a job, neither as successful nor as failed."""
    return _summary(rows), {row.job_type: _type_usage(row) for row in rows}


def parts(rows: Sequence[UsageOfPart]) -> dict[str, PartUsage]:
    """Usage of days or model groups, by their names."""
    return {
        row.name: PartUsage(calls=row.calls, tokens=row.tokens, cost_usd=usd(row.cost), price_usd=usd(row.price))
        for row in rows
    }


def _summary(rows: Sequence[UsageOfType]) -> UsageSummary:
    jobs = sum(row.jobs for row in rows)
    cost = sum(row.cost for row in rows)
    return UsageSummary(
        total_jobs=jobs,
        successful_jobs=sum(row.completed for row in rows),
        failed_jobs=sum(row.failed for row in rows),
        total_cost_usd=usd(cost),
        total_price_usd=usd(sum(row.price for row in rows)),
        total_tokens=sum(row.tokens for row in rows),
        avg_cost_per_job=usd(round(cost / jobs)) if jobs else 0.0,
    )


def _type_usage(row: UsageOfType) -> TypeUsage:
    return TypeUsage(
        jobs=row.jobs,
        successful_jobs=row.completed,
        failed_jobs=row.failed,
        cost_usd=usd(row.cost),
        price_usd=usd(row.price),
        tokens=row.tokens,
        credits_charged=row.credits,
    )
