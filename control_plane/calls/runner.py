"""Calls of the doors where a client may name a job, or none: then the call has one of its own."""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from control_plane.calls.implicit_jobs import ImplicitJobs, Prepare, prepared
from control_plane.calls.service import AnsweredCall, CallRequest, CallService
from control_plane.calls.stream import InFlightStream, JobStream
from control_plane.chat import Completion, EndpointResponse
from control_plane.ids import JobId, Subject
from control_plane.jobs.models import Job
from control_plane.jobs.values import NewJob
from control_plane.tenants.principal import Principal

A = TypeVar("A", Completion, EndpointResponse)


@dataclass(frozen=True, slots=True)
class JobRef:
    """The job a call belongs to: the one with this id, or a new one of its own. `completes`: it is completed with the call."""

    new: NewJob
    job_id: JobId | None = None
    completes: bool = False

    @property
    def subject(self) -> Subject | None:
        """The call in a job that exists, where the request's id is known; else it is the new job that has it."""
        return None if self.job_id is None else self.new.subject


@dataclass(frozen=True, slots=True)
class RunCall(Generic[A]):
    """A call that was answered, and the bill of its job; None: the job goes on."""

    call: AnsweredCall[A]
    bill: Job | None


class CallRunner:
    """Makes calls where they belong. A job that a call fails in goes on, so that the client can try again.

    A job to be completed in which other calls are still running is completed when they have ended.
    """

    def __init__(self, calls: CallService, implicit_jobs: ImplicitJobs) -> None:
        self._calls = calls
        self._one_call_jobs = implicit_jobs

    async def call(
        self, principal: Principal, place: JobRef, order: CallRequest, prepare: Prepare | None = None
    ) -> RunCall[Completion]:
        """One buffered chat call, after what `prepare` calls in its job. Raises: what creating a job and calling raise."""
        if place.job_id is None:
            done = await self._one_call_jobs.call(principal, place.new, order, prepare)
            return RunCall(done.call, done.bill.job)
        if prepare is not None:
            order = await self._prepared(principal, place.job_id, order, prepare)
        order = replace(order, subject=place.subject)
        return await self._in_job(principal, place, place.job_id, self._calls.call(principal, place.job_id, order))

    async def ask(self, principal: Principal, place: JobRef, order: CallRequest) -> RunCall[EndpointResponse]:
        """One call of an endpoint that answers at once. Raises: as `call`."""
        if place.job_id is None:
            done = await self._one_call_jobs.ask(principal, place.new, order)
            return RunCall(done.call, done.bill.job)
        order = replace(order, subject=place.subject)
        return await self._in_job(principal, place, place.job_id, self._calls.ask(principal, place.job_id, order))

    async def stream(
        self, principal: Principal, place: JobRef, order: CallRequest, prepare: Prepare | None = None
    ) -> InFlightStream | JobStream:
        """One streamed call, after what `prepare` calls in its job. Raises: as `call`."""
        job_id = place.job_id
        if job_id is None:
            return await self._one_call_jobs.stream(principal, place.new, order, prepare)
        if prepare is not None:
            order = await self._prepared(principal, job_id, order, prepare)
        stream = await self._calls.stream(principal, job_id, replace(order, subject=place.subject))
        if not place.completes:
            return stream

        async def complete() -> None:
            await self._one_call_jobs.complete(principal, job_id)

        return JobStream(stream, on_end=complete, on_abandon=_go_on)

    async def _prepared(self, principal: Principal, job_id: JobId, order: CallRequest, prepare: Prepare) -> CallRequest:
        return await prepared(
            self._calls, principal, job_id, await self._calls.admit(principal, order, job_id), prepare
        )

    async def _in_job(
        self, principal: Principal, place: JobRef, job_id: JobId, calling: Awaitable[AnsweredCall[A]]
    ) -> RunCall[A]:
        answered = await calling
        closed = None
        if place.completes:
            work = self._one_call_jobs.complete(principal, job_id)
            closed = await self._calls.in_flight.run_to_completion(work)
        return RunCall(answered, closed.job if closed else None)


async def _go_on(_error_code: str) -> None:
    """What follows from a stream that did not come to its end, for a job of several calls: nothing."""
