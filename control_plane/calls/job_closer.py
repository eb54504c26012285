"""Closes jobs that no client closes: at once, or when the database is back."""

import asyncio
import logging

from control_plane import waiting
from control_plane.errors import (
    CallsInFlight,
    ControlPlaneError,
    DatabaseUnavailable,
    JobClosed,
    JobNotFound,
    OutcomeUnknown,
    Overloaded,
    error_code_of,
)
from control_plane.ids import JobId
from control_plane.jobs.models import Job
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.service import JobService
from control_plane.jobs.values import ClosedJob, Closing, JobWithCalls
from control_plane.storage.retrying import retry_until_cancelled
from control_plane.tenants.principal import Principal

log = logging.getLogger(__name__)


class JobCloser:
    """Completes jobs with their last call, and fails those of one call whose call failed, which costs nothing.

    Implicit jobs have no other closer: `run()` retries what the database rejected. Run it as a task, and `drain()`
    before stopping it.
    """

    def __init__(self, jobs: JobService, *, background: JobService | None = None) -> None:
        """`background`: the same jobs, closed over connections that no customer waits for."""
        self._jobs = jobs
        self._background = background or jobs
        self._unclosed: dict[JobId, tuple[Principal, Closing]] = {}

    async def bill(self, principal: Principal, job_id: JobId, closed: ClosedJob | None = None) -> JobWithCalls:
        """Completes the job, unless it was `closed` with its call. Tries twice: a bill whose acknowledgement was lost
        would look like a failure to the client.

        Raises: DatabaseUnavailable; the job is not billed then, unless the second acknowledgement was lost, too.
        """
        closing = Closing(JobStatus.COMPLETED)
        with waiting.without_end():
            try:
                if closed is not None:
                    return await self._jobs.bill_of(closed)
                return await self._jobs.complete(principal, job_id, closing)
            except DatabaseUnavailable:
                return await self._jobs.complete(principal, job_id, closing)

    async def complete(
        self, principal: Principal, job_id: JobId, *, error_code: str | None = None
    ) -> JobWithCalls | None:
        """Completes a job of which something was delivered, now (then its bill) or when it can be (None)."""
        return await self._close_or_queue(principal, job_id, Closing(JobStatus.COMPLETED, error_message=error_code))

    async def fail(self, principal: Principal, job_id: JobId, error_code: str) -> None:
        """Closes the job as failed, now or when the database is back; one that is closed costs nothing from then on."""
        await self._close_or_queue(principal, job_id, Closing(JobStatus.FAILED, error_message=error_code))

    async def give_up(self, principal: Principal, job_id: JobId, error: BaseException) -> None:
        """As `fail`, of a job that was made with its call and may not be there."""
        if isinstance(error, Overloaded) and waiting.is_bounded():
            return  # it never had its turn: there is no job
        try:
            await self.fail(principal, job_id, _code_of(error))
        except JobNotFound:
            if isinstance(error, OutcomeUnknown):
                self._jobs.give_up(principal, job_id)

    async def take_back(self, principal: Principal, job: Job, error_code: str) -> None:
        """Closes the job as failed, or refunds its charge if it is closed. Raises: DatabaseUnavailable, CallsInFlight."""
        await self._close(self._jobs, principal, JobId(job.id), Closing(JobStatus.FAILED, error_message=error_code))

    async def run(self) -> None:
        """Closes what could not be closed before, until cancelled."""
        await retry_until_cancelled(self._retry)

    async def drain(self) -> None:
        """Retries the remaining ones a last time."""
        await self._retry()
        for job_id in self._unclosed:
            log.error("job_left_open", extra={"job_id": str(job_id)})

    async def _close_or_queue(self, principal: Principal, job_id: JobId, closing: Closing) -> JobWithCalls | None:
        try:
            with waiting.without_end():
                return await self._close(self._jobs, principal, job_id, closing)
        except (DatabaseUnavailable, CallsInFlight) as error:
            log.warning("job_closed_later", extra={"job_id": str(job_id), "reason": error.code})
            self._unclosed[job_id] = (principal, closing)
        return None

    async def _close(
        self, jobs: JobService, principal: Principal, job_id: JobId, closing: Closing
    ) -> JobWithCalls | None:
        """Closes a job whose client gets an error: it is not charged, even if its bill was written unnoticed."""
        try:
            return await jobs.complete(principal, job_id, closing)
        except JobClosed:
            closed = await jobs.get(principal, job_id)
            if closing.status is JobStatus.FAILED:
                await jobs.take_back_charge(closed, reason="its answer was never delivered")
        return None

    async def _retry(self) -> None:
        for job_id, (principal, closing) in list(self._unclosed.items()):
            try:
                await self._close(self._background, principal, job_id, closing)
            except (DatabaseUnavailable, CallsInFlight):
                continue
            except JobNotFound:  # or its commit is not over
                self._jobs.give_up(principal, job_id)
            except ControlPlaneError as error:
                log.warning("job_not_closed", extra={"job_id": str(job_id), "reason": error.code})
            self._unclosed.pop(job_id, None)
        await self._jobs.withdraw()


def _code_of(error: BaseException) -> str:
    """As `error_code_of`; a cancellation is a client that left, or a server that stops."""
    return "cancelled" if isinstance(error, asyncio.CancelledError) else error_code_of(error)
