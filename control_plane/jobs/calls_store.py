"""SQL of the calls. Opening and finishing take many calls at once: they run inside the group commit."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Integer, bindparam, func, insert, select, tuple_, update
from sqlmodel import col

from control_plane.chat import Usage
from control_plane.credits.models import CreditBalance
from control_plane.credits.rules import JobUsage, Plan
from control_plane.errors import DatabaseUnavailable, HouseError, JobClosed, JobNotFound, JobNotOwned
from control_plane.ids import CallId, JobId, TeamId
from control_plane.jobs.models import Call, Job
from control_plane.jobs.plans import read_plan
from control_plane.jobs.rules import OPEN_JOB, CallStatus, Intent, JobStatus, Record, Totals
from control_plane.storage.columns import UtcDateTime
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, one_or_many
from control_plane.storage.upsert import upsert
from control_plane.units import NanoUsd


@dataclass(frozen=True, slots=True)
class EnteredJob:
    """A job that let calls in, as much of it as decides about their holds."""

    plan: Plan
    usage: JobUsage
    credits_held: int
    credits_remaining: int


async def lock_jobs(tx: Tx, job_ids: Collection[JobId]) -> None:
    """Takes the jobs' rows in the order of their ids, as every server does, so that no two wait for each other (D16).

    One job needs no order, and on SQLite there is one writer.
    """
    if len(job_ids) > 1 and tx.dialect.name != "sqlite":
        await tx.execute(_lock(), {"jobs": list(job_ids)})


async def enter_jobs(tx: Tx, intents: Sequence[Intent], now: datetime) -> Mapping[JobId, EnteredJob]:
    """Counts the calls into their jobs; returns the jobs that let them in: open, and of the intents' teams.

    Calls that enter the same job at once are counted together, so that each job is one row of one statement.
    """
    entering = Counter((intent.job_id, intent.team_id) for intent in intents)
    jobs_by_count: defaultdict[int, list[tuple[JobId, TeamId]]] = defaultdict(list)
    for job, count in entering.items():
        jobs_by_count[count].append(job)
    entered: dict[JobId, EnteredJob] = {}
    for count, jobs in jobs_by_count.items():
        for row in await tx.execute(_enter(), {"jobs": jobs, "entering": count, "now": now}):
            entered[JobId(row.id)] = EnteredJob(
                plan=read_plan(row.plan),
                usage=JobUsage(row.calls_total, row.calls_succeeded, row.tokens, row.cost_nano_usd),
                credits_held=row.credits_held,
                credits_remaining=row.credits_remaining,
            )
    return entered


async def leave_job(tx: Tx, job_id: JobId) -> None:
    """Takes back one entry: the call will not be made."""
    await tx.execute(update(Job).where(col(Job.id) == job_id).values(calls_open=Job.calls_open - 1))


async def why_not(tx: Tx, intent: Intent) -> HouseError:
    """Why a job did not let a call in."""
    statement = select(col(Job.team_id), col(Job.status)).where(col(Job.id) == intent.job_id)
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return JobNotFound()
    if row.team_id != intent.team_id:
        return JobNotOwned()
    return JobClosed(status=JobStatus.EXPIRED if row.status in OPEN_JOB else row.status)


async def add_intents(tx: Tx, intents: Sequence[Intent], worker_id: UUID) -> None:
    """Writes the calls as open."""
    await tx.execute(_add(), one_or_many([_row(intent, worker_id) for intent in intents]))


async def finish(tx: Tx, records: Sequence[Record], worker_id: UUID) -> set[CallId]:
    """Writes how calls ended and adds them to their jobs' totals; returns the calls that were still open.

    An upsert, because it takes many rows in one statement: every call exists, so only the update ever happens, and
    only to an open call. Whoever finishes a call first decides; a repetition changes nothing.
    """
    rows = [_row(record.intent, worker_id) | _outcome(record) for record in records]
    finished = {CallId(row.id) for row in await tx.execute(_finish(tx.dialect.name), one_or_many(rows))}
    await _add_to_jobs(tx, [record for record in records if record.intent.call_id in finished])
    return finished


async def withdraw(tx: Tx, intents: Sequence[Intent], now: datetime) -> None:
    """Fails calls that were never made: their intents may be written or not, since the database broke off meanwhile."""
    for intent in intents:
        record = Record(intent, CallStatus.FAILED, Usage(), NanoUsd(0), 0, now, error_code=DatabaseUnavailable.code)
        statement = (
            update(Call)
            .where(col(Call.id) == intent.call_id, col(Call.status) == CallStatus.OPEN.value)
            .values(_outcome(record))
            .returning(col(Call.id))
        )
        if (await tx.execute(statement)).one_or_none() is not None:
            await _add_to_jobs(tx, [record])


async def list_calls(reader: Reader, team_id: TeamId, job_id: JobId) -> Sequence[Call]:
    """The calls of a job in the order they were made."""
    statement = (
        every(Call)
        .where(col(Call.job_id) == job_id, col(Call.team_id) == team_id)
        .order_by(col(Call.created_at), col(Call.id))
    )
    return many(Call, await reader.execute(statement))


async def groups_used(reader: Reader, team_id: TeamId, job_ids: Sequence[JobId]) -> Mapping[JobId, set[str]]:
    """The model groups that each of these jobs has called."""
    statement = (
        select(col(Call.job_id), col(Call.model_group))
        .where(col(Call.job_id).in_(job_ids), col(Call.team_id) == team_id)
        .distinct()
    )
    groups: defaultdict[JobId, set[str]] = defaultdict(set)
    for row in await reader.execute(statement):
        groups[JobId(row.job_id)].add(row.model_group)
    return groups


async def _add_to_jobs(tx: Tx, records: Sequence[Record]) -> None:
    totals: defaultdict[UUID, Totals] = defaultdict(Totals)
    for record in records:
        totals[record.intent.job_id] = totals[record.intent.job_id].plus(record)
    if not totals:
        return
    rows = [
        {
            "job": job_id,
            "calls": added.calls,
            "succeeded": added.succeeded,
            "failed": added.failed,
            "prompt": added.prompt_tokens,
            "completion": added.completion_tokens,
            "cost": added.cost,
            "latency": added.latency_ms,
        }
        for job_id, added in totals.items()
    ]
    await tx.execute(_add_totals(), one_or_many(rows))


# The statements of the call path are built once: building one costs more than running it.


@cache
def _lock() -> Executable:
    wanted = col(Job.id).in_(bindparam("jobs", expanding=True))
    return select(col(Job.id)).where(wanted).order_by(col(Job.id)).with_for_update()


@cache
def _enter() -> Executable:
    remaining = (
        select(col(CreditBalance.available) + col(CreditBalance.held))
        .where(col(CreditBalance.team_id) == col(Job.team_id))
        .scalar_subquery()
    )
    return (
        update(Job)
        .where(
            tuple_(col(Job.id), col(Job.team_id)).in_(bindparam("jobs", expanding=True)),
            col(Job.status).in_(OPEN_JOB),
            col(Job.expires_at) > bindparam("now", type_=UtcDateTime),
        )
        .values(
            calls_open=Job.calls_open + bindparam("entering", type_=Integer),
            status=JobStatus.IN_PROGRESS.value,
            started_at=func.coalesce(col(Job.started_at), bindparam("now", type_=UtcDateTime)),
        )
        .returning(
            col(Job.id),
            col(Job.plan),
            col(Job.calls_total),
            col(Job.calls_succeeded),
            (col(Job.prompt_tokens) + col(Job.completion_tokens)).label("tokens"),
            col(Job.cost_nano_usd),
            col(Job.credits_held),
            remaining.label("credits_remaining"),
        )
    )


@cache
def _add() -> Executable:
    return insert(Call)


@cache
def _finish(dialect: str) -> Executable:
    written = upsert(dialect, Call)
    return written.on_conflict_do_update(
        index_elements=["id"],
        set_={name: written.excluded[name] for name in _OUTCOME_COLUMNS},
        where=col(Call.status) == CallStatus.OPEN.value,
    ).returning(col(Call.id))


@cache
def _add_totals() -> Executable:
    return (
        update(Job)
        .where(col(Job.id) == bindparam("job"))
        .values(
            calls_open=Job.calls_open - bindparam("calls"),
            calls_total=Job.calls_total + bindparam("calls"),
            calls_succeeded=Job.calls_succeeded + bindparam("succeeded"),
            calls_failed=Job.calls_failed + bindparam("failed"),
            prompt_tokens=Job.prompt_tokens + bindparam("prompt"),
            completion_tokens=Job.completion_tokens + bindparam("completion"),
            cost_nano_usd=Job.cost_nano_usd + bindparam("cost"),
            latency_ms=Job.latency_ms + bindparam("latency"),
        )
    )


def _row(intent: Intent, worker_id: UUID) -> dict[str, Any]:
    return {
        "id": intent.call_id,
        "job_id": intent.job_id,
        "team_id": intent.team_id,
        "worker_id": worker_id,
        "status": CallStatus.OPEN.value,
        "purpose": intent.purpose,
        "model_group": intent.model_group,
        "is_stream": intent.is_stream,
        "metadata": intent.metadata,
        "created_at": intent.created_at,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "is_estimated": False,
        "is_cached": False,
        "cost_nano_usd": 0,
        "latency_ms": 0,
    }


_OUTCOME_COLUMNS = (
    "status",
    "model",
    "deployment_id",
    "finish_reason",
    "error_code",
    "prompt_tokens",
    "completion_tokens",
    "is_estimated",
    "is_cached",
    "cost_nano_usd",
    "latency_ms",
    "first_chunk_ms",
    "ended_at",
)


def _outcome(record: Record) -> dict[str, Any]:
    return {
        "status": record.status.value,
        "model": record.served.model if record.served else None,
        "deployment_id": record.served.deployment_id if record.served else None,
        "finish_reason": record.finish_reason,
        "error_code": record.error_code,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "is_estimated": record.usage.is_estimated,
        "is_cached": record.is_cached,
        "cost_nano_usd": record.cost,
        "latency_ms": record.latency_ms,
        "first_chunk_ms": record.first_chunk_ms,
        "ended_at": record.ended_at,
    }
