"""Runs calls of APIs in which naming a job is optional: without one, the call has its own job."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from control_plane import waiting
from control_plane.calls.implicit_jobs import ImplicitJobs
from control_plane.calls.job_closer import JobCloser
from control_plane.calls.requests import AnsweredCall, CallRequest
from control_plane.calls.service import CallService
from control_plane.calls.stream import InFlightStream, JobStream
from control_plane.ids import JobId, Subject
from control_plane.jobs.values import JobWithCalls, NewJob
from control_plane.tenants.principal import Principal

Prepare = Callable[[JobId, CallRequest], Awaitable[CallRequest]]
"""A step in the job before an admitted call, such as reading its files; returns the call's request. A step with calls
of its own returns the permit before them.
"""


@dataclass(frozen=True, slots=True)
class JobRef:
    """A call's job: the one with this id, or a new one for the call. `completes`: it is completed with the call."""

    new: NewJob
    job_id: JobId | None = None
    completes: bool = False

    @property
    def subject(self) -> Subject | None:
        """The call in an existing job, where the request's id is known; else the new job has the id."""
        return None if self.job_id is None else self.new.subject


@dataclass(frozen=True, slots=True)
class CompletedCall:
    """A completed call, and the bill of its job; None: the job continues."""

    call: AnsweredCall
    bill: JobWithCalls | None


class CallRunner:
    """Makes calls in existing or implicit jobs, after what `prepare` calls in the same job.

    An existing job with a failed call continues, so that the client can retry; one to be completed in which other calls
    are still running is completed when they have ended. An implicit job with a failed call fails, which costs nothing.
    """

    def __init__(self, calls: CallService, implicit_jobs: ImplicitJobs, closer: JobCloser) -> None:
        self._calls = calls
        self._implicit_jobs = implicit_jobs
        self._closer = closer

    async def complete(
        self, principal: Principal, job_ref: JobRef, call_request: CallRequest, prepare: Prepare | None = None
    ) -> CompletedCall:
        """One buffered call. Raises: what creating a job, `prepare` and `CallService.complete` raise."""
        job_id = job_ref.job_id
        if job_id is None:
            new = job_ref.new
            async with await self._implicit_jobs.open(
                principal, new, call_request, has_steps=prepare is not None
            ) as job:
                call_request = await self._prepare(principal, job.id, job.call_request, prepare)
                answered = await self._calls.complete(principal, job.id, call_request)
                billing = job.bill(answered.call.closed)
                return CompletedCall(answered, await self._calls.in_flight.run_to_completion(billing))
        call_request = await self._join(principal, job_ref, job_id, call_request, prepare)
        answered = await self._calls.complete(principal, job_id, call_request)
        if not job_ref.completes:
            return CompletedCall(answered, None)
        completing = self._closer.complete(principal, job_id)
        return CompletedCall(answered, await self._calls.in_flight.run_to_completion(completing))

    async def stream(
        self, principal: Principal, job_ref: JobRef, call_request: CallRequest, prepare: Prepare | None = None
    ) -> InFlightStream | JobStream:
        """One streamed call. Raises: as `complete`; a failure before its first event is no stream."""
        job_id = job_ref.job_id
        if job_id is None:
            new = job_ref.new
            async with await self._implicit_jobs.open(
                principal, new, call_request, has_steps=prepare is not None
            ) as job:
                call_request = await self._prepare(principal, job.id, job.call_request, prepare)
                stream = await self._calls.stream(principal, job.id, call_request)
            return JobStream(stream, on_end=lambda: job.bill(stream.call.closed), on_abandon=job.abandon)
        call_request = await self._join(principal, job_ref, job_id, call_request, prepare)
        stream = await self._calls.stream(principal, job_id, call_request)
        if not job_ref.completes:
            return stream
        return JobStream(stream, on_end=lambda: self._closer.complete(principal, job_id))

    async def _join(
        self,
        principal: Principal,
        job_ref: JobRef,
        job_id: JobId,
        call_request: CallRequest,
        prepare: Prepare | None,
    ) -> CallRequest:
        """The request of a call in an existing job, as `_prepare`, admitted if there is anything to prepare."""
        if prepare is not None:
            call_request = await self._calls.admit(principal, call_request, job_id)
            call_request = await self._prepare(principal, job_id, call_request, prepare)
        return replace(call_request, subject=job_ref.subject)

    async def _prepare(
        self, principal: Principal, job_id: JobId, call_request: CallRequest, prepare: Prepare | None
    ) -> CallRequest:
        """The request as prepared in its job, where that can pay for it. One that was admitted and cannot be prepared has
        used its permit: reading files is work, too. Raises: what `require_paid` and `prepare` raise.
        """
        if prepare is None:
            return call_request
        try:
            await self._calls.require_paid(principal, call_request, job_id)
            with waiting.off_the_clock():
                return await prepare(job_id, call_request)
        except BaseException:
            if call_request.permit is not None:
                await self._calls.in_flight.run_to_completion(call_request.permit.settle(0))
            raise
