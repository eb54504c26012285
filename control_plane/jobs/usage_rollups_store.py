"""SQL of the rollups: jobs and usage by team, day and job type, kept by the transactions that change them (D23).

A month costs the same to look at, however many calls it had.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import BigInteger, Executable, String, bindparam, func, select
from sqlmodel import SQLModel, col

from control_plane.ids import JobId
from control_plane.jobs.models import Job, JobDay, UsageDay
from control_plane.jobs.rules import Totals
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import one_or_many
from control_plane.storage.upsert import upsert

COUNTED = ("jobs", "completed", "failed", "cancelled", "expired", "credits_charged")
SUMMED = {
    "calls": "calls",
    "succeeded": "succeeded",
    "failed": "failed",
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "cost_nano_usd": "cost",
    "price_nano_usd": "price",
    "unbilled_nano_usd": "unbilled",
}
"""Columns of a day's usage, and what of finished calls is added to them."""


async def count_created(tx: Tx, jobs: Sequence[Job]) -> None:
    """More jobs of their days."""
    await _count(tx, [(job, {"jobs": 1}) for job in jobs])


async def count_closed(tx: Tx, jobs: Sequence[Job]) -> None:
    """What became of jobs, and what they were charged."""
    await _count(tx, [(job, {job.status: 1, "credits_charged": job.credits_charged or 0}) for job in jobs])


async def add_usage(tx: Tx, totals: Mapping[tuple[JobId, str], Totals]) -> None:
    """What finished calls used, by job and model group."""
    rows = [
        {"job": job_id, "group": group, **{column: getattr(added, name) for column, name in SUMMED.items()}}
        for (job_id, group), added in totals.items()
    ]
    await tx.execute(_add_usage(tx.dialect.name), one_or_many(rows))


@dataclass(frozen=True, slots=True)
class UsageOfType:
    """What the jobs of one type that were created in a period used, and what became of them. Cost in nano-USD."""

    job_type: str
    jobs: int = 0
    completed: int = 0
    failed: int = 0
    tokens: int = 0
    cost: int = 0
    price: int = 0
    credits: int = 0


async def sum_usage(reader: Reader, team_ids: Sequence[str], start: date, end: date) -> Sequence[UsageOfType]:
    """Usage by job type of the jobs created in [start, end), UTC days."""
    jobs = (
        select(
            col(JobDay.job_type),
            func.sum(col(JobDay.jobs)).label("jobs"),
            func.sum(col(JobDay.completed)).label("completed"),
            func.sum(col(JobDay.failed)).label("failed"),
            func.sum(col(JobDay.credits_charged)).label("credits"),
        )
        .where(col(JobDay.team_id).in_(team_ids), col(JobDay.day) >= start, col(JobDay.day) < end)
        .group_by(col(JobDay.job_type))
        .order_by(col(JobDay.job_type))
    )
    usage = (
        select(
            col(UsageDay.job_type),
            func.sum(col(UsageDay.prompt_tokens) + col(UsageDay.completion_tokens)).label("tokens"),
            func.sum(col(UsageDay.cost_nano_usd)).label("cost"),
            func.sum(col(UsageDay.price_nano_usd)).label("price"),
        )
        .where(col(UsageDay.team_id).in_(team_ids), col(UsageDay.day) >= start, col(UsageDay.day) < end)
        .group_by(col(UsageDay.job_type))
    )
    used = {row.job_type: row for row in await reader.execute(usage)}
    found = []
    for row in await reader.execute(jobs):
        calls = used.get(row.job_type)
        found.append(
            UsageOfType(
                job_type=row.job_type,
                jobs=int(row.jobs),
                completed=int(row.completed),
                failed=int(row.failed),
                tokens=int(calls.tokens) if calls else 0,
                cost=int(calls.cost) if calls else 0,
                price=int(calls.price) if calls else 0,
                credits=int(row.credits),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class UsageOfPart:
    """What the calls of one day, or of one model group, used. Cost and price in nano-USD."""

    name: str
    calls: int
    tokens: int
    cost: int
    price: int


async def sum_parts(
    reader: Reader, team_ids: Sequence[str], start: date, end: date, *, by: Literal["day", "model_group"]
) -> Sequence[UsageOfPart]:
    """Usage by day or by model group of the jobs created in [start, end), UTC days."""
    part: Any = col(UsageDay.day) if by == "day" else col(UsageDay.model_group)
    statement = (
        select(
            part.label("part"),
            func.sum(col(UsageDay.calls)).label("calls"),
            func.sum(col(UsageDay.prompt_tokens) + col(UsageDay.completion_tokens)).label("tokens"),
            func.sum(col(UsageDay.cost_nano_usd)).label("cost"),
            func.sum(col(UsageDay.price_nano_usd)).label("price"),
        )
        .where(col(UsageDay.team_id).in_(team_ids), col(UsageDay.day) >= start, col(UsageDay.day) < end)
        .group_by(part)
        .order_by(part)
    )
    return [
        UsageOfPart(str(row.part), int(row.calls), int(row.tokens), int(row.cost), int(row.price))
        for row in await reader.execute(statement)
    ]


async def _count(tx: Tx, counted: Sequence[tuple[Job, Mapping[str, int]]]) -> None:
    sums: defaultdict[tuple[str, date, str], Counter[str]] = defaultdict(Counter)
    for job, counts in counted:
        sums[job.team_id, job.day, job.job_type].update(counts)
    rows = [
        {
            "team_id": team_id,
            "day": day,
            "job_type": job_type,
            **dict.fromkeys(COUNTED, 0),
            **sums[team_id, day, job_type],
        }
        for team_id, day, job_type in sorted(sums)  # as every server does (D16)
    ]
    await tx.execute(_add_counts(tx.dialect.name), one_or_many(rows))


@prepared
def _add_counts(dialect: str) -> Executable:
    added = upsert(dialect, JobDay)
    return added.on_conflict_do_update(
        index_elements=["team_id", "day", "job_type"], set_=_sums(JobDay, added.excluded, COUNTED)
    )


@prepared
def _add_usage(dialect: str) -> Executable:
    """The job itself says under which team, day and type its calls are summed up."""
    row = select(
        col(Job.team_id),
        col(Job.day),
        col(Job.job_type),
        bindparam("group", type_=String),
        *(bindparam(column, type_=BigInteger) for column in SUMMED),
    ).where(col(Job.id) == bindparam("job"))
    columns = ["team_id", "day", "job_type", "model_group", *SUMMED]
    added = upsert(dialect, UsageDay).from_select(columns, row)
    return added.on_conflict_do_update(
        index_elements=["team_id", "day", "job_type", "model_group"],
        set_=_sums(UsageDay, added.excluded, SUMMED),
    )


def _sums(table: type[SQLModel], excluded: Any, columns: Mapping[str, str] | Sequence[str]) -> dict[str, Any]:
    return {column: getattr(table, column) + getattr(excluded, column) for column in columns}
