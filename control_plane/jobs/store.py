"""SQL of the jobs: create, complete, read. The calls' own SQL is in `calls_store.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Executable, bindparam, insert, or_, select, text, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from control_plane.credits.reservations import JobReservation
from control_plane.errors import AlreadyExists
from control_plane.ids import JobId, TeamId
from control_plane.jobs import calls_store
from control_plane.jobs.models import HAS_FINGERPRINT, IS_OPEN, Job
from control_plane.jobs.plans import reservation_of
from control_plane.jobs.rules import OPEN_JOB, JobStatus
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import columns_of, every, many, one, one_or_many, values_of


async def add(tx: Tx, jobs: Sequence[Job]) -> None:
    """Inserts new jobs. Raises: AlreadyExists for an id that is taken, and then none is inserted."""
    try:
        await tx.execute(_add(), one_or_many([values_of(job) for job in jobs]))
    except IntegrityError as error:
        raise AlreadyExists("There is a job with this id already.") from error


async def find(reader: Reader, job_id: JobId) -> Job | None:
    """One job of any team; the caller compares the team."""
    return one(Job, await reader.execute(_find(), {"job": job_id}))


@prepared
def _find() -> Executable:
    return every(Job).where(col(Job.id) == bindparam("job"))


async def lock_to_close(tx: Tx, jobs: Sequence[tuple[JobId, TeamId]]) -> Sequence[Job]:
    """Locks open jobs without running calls until the transaction ends; the lock's holder closes them.

    Missing: no such job, another team's, closed before, or calls are running. Of 200 completions at once one gets the
    row.
    """
    return many(Job, await tx.execute(_lock_to_close(), {"jobs": list(jobs)}))


async def save_bills(tx: Tx, jobs: Sequence[Job]) -> None:
    """Closes jobs that this transaction has locked: status, bill, metadata and error message."""
    rows = [
        {
            "job": job.id,
            "to": job.status,
            "at": job.completed_at,
            "charged": job.credits_charged,
            "remaining": job.credits_remaining,
            "merged": job.metadata_,
            "message": job.error_message,
        }
        for job in jobs
    ]
    await tx.execute(_save_bill(), one_or_many(rows))


@prepared
def _add() -> Executable:
    return insert(Job)


@prepared
def _lock_to_close() -> Executable:
    wanted = tuple_(col(Job.id), col(Job.team_id)).in_(bindparam("jobs", expanding=True))
    return every(Job).where(wanted, col(Job.status).in_(OPEN_JOB), col(Job.calls_open) == 0).with_for_update()


@prepared
def _save_bill() -> Executable:
    return (
        update(Job)
        .where(col(Job.id) == bindparam("job"))
        .values(
            status=bindparam("to"),
            completed_at=bindparam("at"),
            credits_charged=bindparam("charged"),
            credits_remaining=bindparam("remaining"),
            credits_held=0,
            metadata_=bindparam("merged"),
            error_message=bindparam("message"),
        )
    )


@dataclass(frozen=True, slots=True)
class Due:
    """A job whose time is over."""

    team_id: TeamId
    job_id: JobId
    expires_at: datetime


async def list_due(reader: Reader, now: datetime, *, limit: int, after: Due | None = None) -> Sequence[Due]:
    """Open jobs of all teams whose time is over and whose calls have ended, the longest overdue first."""
    expires_at, job_id = col(Job.expires_at), col(Job.id)
    statement = (
        select(col(Job.team_id), job_id, expires_at)
        .where(text(IS_OPEN), expires_at <= now, col(Job.calls_open) == 0)
        .order_by(expires_at, job_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(expires_at, job_id) > tuple_(after.expires_at, after.job_id))
    return [Due(TeamId(row.team_id), JobId(row.id), row.expires_at) for row in await reader.execute(statement)]


async def lock(tx: Tx, team_id: TeamId, job_id: JobId) -> Job | None:
    """The job, kept from others until the transaction ends. (SQLite has one writer anyway and ignores the lock.)"""
    statement = every(Job).where(col(Job.id) == job_id, col(Job.team_id) == team_id).with_for_update()
    return one(Job, await tx.execute(statement))


async def save_metadata(tx: Tx, job_id: JobId, metadata: Mapping[str, Any]) -> None:
    """Replaces the metadata of a locked job."""
    await tx.execute(update(Job).where(col(Job.id) == job_id).values(metadata_=dict(metadata)))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a team to list. Times: from inclusive, to exclusive."""

    status: JobStatus | None = None
    job_type: str | None = None
    user_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def list_jobs(
    reader: Reader,
    team_id: TeamId,
    wanted: JobFilter,
    *,
    limit: int,
    offset: int = 0,
    after: tuple[datetime, JobId] | None = None,
) -> Sequence[Job]:
    """The team's jobs, newest first. `after` is the creation time and id of the last job already seen."""
    statement = (
        every(Job)
        .where(col(Job.team_id) == team_id)
        .order_by(col(Job.created_at).desc(), col(Job.id).desc())
        .limit(limit)
        .offset(offset)
    )
    if after is not None:
        statement = statement.where(tuple_(col(Job.created_at), col(Job.id)) < tuple_(*after))
    if wanted.status is not None:
        statement = statement.where(col(Job.status) == wanted.status.value)
    if wanted.job_type is not None:
        statement = statement.where(col(Job.job_type) == wanted.job_type)
    if wanted.user_id is not None:
        statement = statement.where(col(Job.user_id) == wanted.user_id)
    if wanted.created_from is not None:
        statement = statement.where(col(Job.created_at) >= wanted.created_from)
    if wanted.created_to is not None:
        statement = statement.where(col(Job.created_at) < wanted.created_to)
    return many(Job, await reader.execute(statement))


async def claim_superseded(tx: Tx, team_id: TeamId, fingerprint: str, *, since: datetime) -> Job | None:
    """Marks the latest job of a request as superseded: one that is open, or was charged; returns it as it is now.

    None: the request has none that is not marked yet. Several at once mark several.
    """
    wanted = (
        select(col(Job.id))
        .where(
            col(Job.team_id) == team_id,
            col(Job.fingerprint) == fingerprint,
            text(HAS_FINGERPRINT),
            col(Job.created_at) >= since,
            ~col(Job.is_superseded),
            or_(col(Job.status).in_(OPEN_JOB), col(Job.credits_charged) > 0),
        )
        .order_by(col(Job.created_at).desc(), col(Job.id).desc())
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = (await tx.execute(wanted)).one_or_none()
    if found is None:
        return None
    statement = update(Job).where(col(Job.id) == found.id).values(is_superseded=True).returning(*columns_of(Job))
    return one(Job, await tx.execute(statement))


async def has_superseded(reader: Reader, team_id: TeamId, fingerprint: str, *, since: datetime) -> bool:
    """Whether a job of a request was marked as superseded that has cost something, or may still."""
    statement = (
        select(col(Job.id))
        .where(
            col(Job.team_id) == team_id,
            col(Job.fingerprint) == fingerprint,
            text(HAS_FINGERPRINT),
            col(Job.created_at) >= since,
            col(Job.is_superseded),
            or_(col(Job.status).in_(OPEN_JOB), col(Job.cost_nano_usd) + col(Job.unbilled_nano_usd) > 0),
        )
        .limit(1)
    )
    return (await reader.execute(statement)).first() is not None


async def has_jobs(reader: Reader, team_id: TeamId) -> bool:
    """Whether the team ever created a job."""
    return (await reader.execute(select(col(Job.id)).where(col(Job.team_id) == team_id).limit(1))).first() is not None


async def find_reservations(tx: Tx, job_ids: Sequence[JobId]) -> Mapping[JobId, JobReservation]:
    """Reservations of jobs that this transaction has locked."""
    rows = await tx.execute(_find_reservations(), {"jobs": list(job_ids)})
    return {JobId(row.id): reservation_of(row) for row in rows}


@prepared
def _find_reservations() -> Executable:
    wanted = col(Job.id).in_(bindparam("jobs", expanding=True))
    return select(col(Job.id), *calls_store.reservation_columns()).where(wanted)


async def add_hold(tx: Tx, job_id: JobId, more: int) -> None:
    """Notes that more credits, or fewer, are held for the job."""
    await tx.execute(_add_hold(), {"job": job_id, "more": more})


@prepared
def _add_hold() -> Executable:
    held = Job.credits_held + bindparam("more", type_=BigInteger())
    return update(Job).where(col(Job.id) == bindparam("job")).values(credits_held=held)
