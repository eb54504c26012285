"""Implicit jobs: a job of one call, opened, called and closed in one request, for calls without a job of their own."""

from dataclasses import replace
from types import TracebackType
from typing import Self

from control_plane import failpoints, waiting
from control_plane.calls.job_closer import JobCloser
from control_plane.calls.requests import CallRequest
from control_plane.calls.rules import CLIENT_CLOSED
from control_plane.calls.service import CallService
from control_plane.errors import CallLost, CallTimedOut
from control_plane.ids import JobId, following_id
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.service import JobService
from control_plane.jobs.values import ClosedJob, Closing, JobWithCalls, NewJob
from control_plane.tenants.principal import Principal


class ImplicitJob:
    """The job of one call. `async with` it around the call: what is raised there closes the job as failed.

    `call_request`: the call as admitted, with which the job ends.
    """

    def __init__(
        self, calls: CallService, closer: JobCloser, principal: Principal, job_id: JobId, call_request: CallRequest
    ) -> None:
        self.id = job_id
        self.call_request = replace(
            call_request,
            closing=JobClosing(principal.team(), job_id, Closing(JobStatus.COMPLETED), principal.actor),
        )
        self._run_to_completion = calls.in_flight.run_to_completion
        self._closer = closer
        self._principal = principal

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            await self._run_to_completion(self._closer.give_up(self._principal, self.id, error))

    async def bill(self, closed: ClosedJob | None) -> JobWithCalls:
        """The bill of the job, which was `closed` with its call or is closed now. Raises: as `JobCloser.bill`."""
        failpoints.reach("one_call_recorded")
        return await self._closer.bill(self._principal, self.id, closed)

    async def abandon(self, error_code: str) -> None:
        """Closes the job of a stream that broke off: what was delivered to a client that left is paid (D11)."""
        if error_code in (CLIENT_CLOSED, CallTimedOut.code):
            await self._closer.complete(self._principal, self.id, error_code=error_code)
        else:
            await self._closer.fail(self._principal, self.id, error_code)


class ImplicitJobs:
    """Opens jobs of one call."""

    def __init__(self, jobs: JobService, calls: CallService, closer: JobCloser) -> None:
        self._jobs = jobs
        self._calls = calls
        self._closer = closer

    async def open(
        self, principal: Principal, new: NewJob, call_request: CallRequest, *, has_steps: bool
    ) -> ImplicitJob:
        """A job with an id chosen here, since a client that leaves in between would leave it open; and the call as
        admitted.

        A job without an idempotency key and without steps before its call (`has_steps`) is created together with that
        call. The call's models are decided first: a forbidden group, or a limit, must not leave a failed job behind.
        Raises: as `CallService.admit` and `JobService.create`.
        """
        call_request = await self._calls.admit(principal, call_request)
        try:
            if new.is_resumed and new.id is not None:
                new = await self._made_again(principal, new, new.id)
            may_be_repeated = new.is_claimed or new.is_repeated
            if not may_be_repeated and not has_steps and not self._calls.reads_files(call_request):
                creation = await self._jobs.creation(principal, new)
                job_id, call_request = creation.job_id, replace(call_request, creation=creation)
            else:
                job = await self._calls.in_flight.run_to_completion(self._jobs.create(principal, new))
                waiting.work_has_begun()  # what was begun in a task of its own lifts the limit only there
                job_id = JobId(job.id)
        except BaseException:
            if call_request.permit is not None:  # no job was made, and no call will be
                await self._calls.in_flight.run_to_completion(call_request.permit.give_back())
            raise
        return ImplicitJob(self._calls, self._closer, principal, job_id, call_request)

    async def _made_again(self, principal: Principal, new: NewJob, job_id: JobId) -> NewJob:
        """The job under a new id, because the first failed or its response was lost with its server.

        The first job's charge is refunded: its client never got that response, and pays for the one it gets. Only a
        client that left a stream got part of it, and pays for that, too (D11).
        """
        is_repetition = False
        while (job := await self._jobs.find(job_id)) is not None:
            if job.error_message != CLIENT_CLOSED:
                await self._closer.take_back(principal, job, CallLost.code)
                is_repetition = is_repetition or job.cost_nano_usd + job.unbilled_nano_usd > 0
            job_id = JobId(following_id(job.id))
        return replace(new, id=job_id, is_repetition=is_repetition)
