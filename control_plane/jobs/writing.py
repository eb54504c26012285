"""Who makes and closes jobs durably: the call path's writer does it for many at once, this one for each alone."""

from functools import partial
from typing import Protocol

from control_plane.clock import Clock
from control_plane.jobs.closing import JobClosing, close_jobs
from control_plane.jobs.creating import Creation, create_job
from control_plane.jobs.models import Job
from control_plane.jobs.values import ClosedJob
from control_plane.storage.database import Database


class JobWriter(Protocol):
    """What it returns is durable."""

    async def create(self, creation: Creation) -> Job:
        """Makes a job. Raises: InsufficientCredits, JobCapReached, TeamNotFound, AlreadyExists; DatabaseUnavailable."""

    async def close(self, closing: JobClosing) -> ClosedJob | None:
        """Closes and bills a job; None when it is not ours to close. Raises: DatabaseUnavailable."""


class OneByOne:
    """Each job in a transaction of its own."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def create(self, creation: Creation) -> Job:
        """As `JobWriter`."""
        return await self._db.run_in_thread(partial(create_job, creation=creation, now=self._clock()))

    async def close(self, closing: JobClosing) -> ClosedJob | None:
        """As `JobWriter`."""
        closed = await self._db.run_in_thread(partial(close_jobs, closings=[closing], now=self._clock()))
        return closed[0]
