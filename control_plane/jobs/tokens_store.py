"""SQL of the tokens of jobs."""

from datetime import datetime

from sqlalchemy import String, cast, delete, func, insert, select
from sqlmodel import col

from control_plane.ids import JobId
from control_plane.jobs.models import Job, JobToken
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, one, values_of


async def add(tx: Tx, token: JobToken) -> None:
    """Inserts a token."""
    await tx.execute(insert(JobToken).values(values_of(token)))


async def count(reader: Reader, job_id: JobId, now: datetime) -> tuple[int, int]:
    """How many tokens of the job still work, and how many rows it has with those that have expired."""
    working = func.count().filter(col(JobToken.expires_at) > now)
    row = (await reader.execute(select(working, func.count()).where(col(JobToken.job_id) == job_id))).one()
    return int(row[0]), int(row[1])


async def find(reader: Reader, secret_hash: str) -> tuple[JobToken, str] | None:
    """A token, expired or not, and the status of its job."""
    token = one(JobToken, await reader.execute(every(JobToken).where(col(JobToken.secret_hash) == secret_hash)))
    if token is None:
        return None
    status = select(col(Job.status)).where(col(Job.id) == token.job_id)
    return token, str((await reader.execute(status)).scalar_one())


async def is_registered(reader: Reader, job_id: JobId, origin: str, now: datetime) -> bool:
    """Whether a token of the job that has not expired is for pages of this origin."""
    written = cast(col(JobToken.origins), String)
    statement = select(col(JobToken.origins)).where(
        col(JobToken.job_id) == job_id,
        col(JobToken.expires_at) > now,
        written.contains(f'"{origin}"', autoescape=True),  # so that no others are read
    )
    return any(origin in origins for origins in (await reader.execute(statement)).scalars())


async def purge(tx: Tx, before: datetime, *, limit: int) -> int:
    """Removes tokens that expired before; returns how many."""
    due = select(col(JobToken.id)).where(col(JobToken.expires_at) < before).limit(limit)
    statement = delete(JobToken).where(col(JobToken.id).in_(due)).returning(col(JobToken.id))
    return len((await tx.execute(statement)).all())
