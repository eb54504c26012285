"""SQL of the tokens of jobs."""

from datetime import datetime

from sqlalchemy import delete, func, insert, select
from sqlmodel import col

from control_plane.ids import JobId
from control_plane.jobs.models import Job, JobToken
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, one, values_of

PURGED_AT_ONCE = 1000


async def add(tx: Tx, token: JobToken) -> None:
    """Inserts a token."""
    await tx.execute(insert(JobToken).values(values_of(token)))


async def count(reader: Reader, job_id: JobId, now: datetime) -> int:
    """How many tokens of the job still work."""
    statement = select(func.count()).where(col(JobToken.job_id) == job_id, col(JobToken.expires_at) > now)
    return int((await reader.execute(statement)).scalar_one())


async def find(reader: Reader, secret_hash: str) -> tuple[JobToken, str] | None:
    """A token, expired or not, and the status of its job."""
    token = one(JobToken, await reader.execute(every(JobToken).where(col(JobToken.secret_hash) == secret_hash)))
    if token is None:
        return None
    status = select(col(Job.status)).where(col(Job.id) == token.job_id)
    return token, str((await reader.execute(status)).scalar_one())


async def list_working(reader: Reader, job_id: JobId, now: datetime) -> list[JobToken]:
    """The tokens of a job that have not expired."""
    statement = every(JobToken).where(col(JobToken.job_id) == job_id, col(JobToken.expires_at) > now)
    return list(many(JobToken, await reader.execute(statement)))


async def purge(tx: Tx, before: datetime) -> int:
    """Removes some tokens that expired before; returns how many."""
    due = select(col(JobToken.id)).where(col(JobToken.expires_at) < before).limit(PURGED_AT_ONCE)
    statement = delete(JobToken).where(col(JobToken.id).in_(due)).returning(col(JobToken.id))
    return len((await tx.execute(statement)).all())
