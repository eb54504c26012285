"""A job of one call: opened, called and closed in one request. What has no job of its own runs through here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from control_plane import failpoints, waiting
from control_plane.calls.rules import CLIENT_CLOSED
from control_plane.calls.service import AnsweredCall, CallRequest, CallService
from control_plane.calls.stream import JobStream
from control_plane.chat import Completion, EndpointResponse
from control_plane.errors import (
    CallLost,
    CallsInFlight,
    CallTimedOut,
    ControlPlaneError,
    DatabaseUnavailable,
    JobClosed,
    JobNotFound,
    OutcomeUnknown,
    Overloaded,
    error_code_of,
)
from control_plane.ids import JobId, following_id
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.service import JobService
from control_plane.jobs.values import ClosedJob, Closing, JobWithCalls, NewJob
from control_plane.tenants.principal import Principal

log = logging.getLogger(__name__)

RETRY_S = 1.0


A = TypeVar("A", Completion, EndpointResponse)

Prepare = Callable[[JobId, CallRequest], Awaitable[CallRequest]]
"""What is done in the job before a call that was admitted, as to read its files; gives the call's order. What makes calls
of its own gives the permit back before them.
"""


@dataclass(frozen=True, slots=True)
class AnsweredJob(Generic[A]):
    """A one-call job: the answer and the bill."""

    call: AnsweredCall[A]
    bill: JobWithCalls


class ImplicitJobs:
    """Opens a job around one call. A call that fails closes its job as failed, which costs nothing.

    Nobody else will close these jobs: what the database would not take is tried again by `close_kept()`. Run it as a
    task, and `drain()` before stopping it.
    """

    def __init__(self, jobs: JobService, calls: CallService, *, background: JobService | None = None) -> None:
        """`background`: the same jobs, closed over connections that no customer waits for."""
        self._jobs = jobs
        self._background = background or jobs
        self._calls = calls
        self._to_its_end = calls.in_flight.run_to_completion
        self._kept: dict[JobId, tuple[Principal, Closing]] = {}

    async def call(
        self, principal: Principal, new: NewJob, order: CallRequest, prepare: Prepare | None = None
    ) -> AnsweredJob[Completion]:
        """One buffered chat call in a job of its own, after what `prepare` calls in that job.

        Raises: what creating a job and calling raise.
        """
        return await self._answered(principal, new, order, self._calls.call, prepare)

    async def ask(self, principal: Principal, new: NewJob, order: CallRequest) -> AnsweredJob[EndpointResponse]:
        """One call of an endpoint that answers at once, in a job of its own. Raises: as `call`."""
        return await self._answered(principal, new, order, self._calls.ask)

    async def _answered(
        self,
        principal: Principal,
        new: NewJob,
        order: CallRequest,
        make: Callable[[Principal, JobId, CallRequest], Awaitable[AnsweredCall[A]]],
        prepare: Prepare | None = None,
    ) -> AnsweredJob[A]:
        job_id, order = await self._create(principal, new, order, prepare)
        try:
            if prepare is not None:
                order = await prepared(self._calls, principal, job_id, order, prepare)
            answered = await make(principal, job_id, _closing_with(order, principal, job_id))
            failpoints.reach("one_call_recorded")
            bill = await self._to_its_end(self.bill(principal, job_id, answered.call.closed))
        except BaseException as error:
            await self._to_its_end(self._give_up(principal, job_id, error))
            raise
        return AnsweredJob(answered, bill)

    async def stream(
        self, principal: Principal, new: NewJob, order: CallRequest, prepare: Prepare | None = None
    ) -> JobStream:
        """One streamed call in a job of its own, after what `prepare` calls in that job."""
        job_id, order = await self._create(principal, new, order, prepare)
        try:
            if prepare is not None:
                order = await prepared(self._calls, principal, job_id, order, prepare)
            stream = await self._calls.stream(principal, job_id, _closing_with(order, principal, job_id))
        except BaseException as error:
            await self._to_its_end(self._give_up(principal, job_id, error))
            raise

        async def bill() -> None:
            failpoints.reach("one_call_recorded")
            await self.bill(principal, job_id, stream.call.closed)

        async def close(error_code: str) -> None:
            if error_code in (CLIENT_CLOSED, CallTimedOut.code):  # what was delivered is paid (D11)
                await self.complete(principal, job_id, error_code=error_code)
            else:
                await self.fail(principal, job_id, error_code)

        return JobStream(stream, on_end=bill, on_abandon=close)

    async def bill(self, principal: Principal, job_id: JobId, closed: ClosedJob | None = None) -> JobWithCalls:
        """Completes the job, unless it was `closed` with its call. Asks twice: a bill whose acknowledgement was lost would
        look like a failure to the client.

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

    async def fail(self, principal: Principal, job_id: JobId, error_code: str) -> None:
        """Closes the job as failed, now or when the database is back; one that is closed costs nothing from then on."""
        await self._close_or_keep(principal, job_id, Closing(JobStatus.FAILED, error_message=error_code))

    async def _give_up(self, principal: Principal, job_id: JobId, error: BaseException) -> None:
        """As `fail`, of a job that was made with its call and may not be there."""
        if isinstance(error, Overloaded) and waiting.is_bounded():
            return  # it never had its turn: there is no job
        try:
            await self.fail(principal, job_id, _code_of(error))
        except JobNotFound:
            if isinstance(error, OutcomeUnknown):
                self._jobs.give_up(principal, job_id)

    async def complete(
        self, principal: Principal, job_id: JobId, *, error_code: str | None = None
    ) -> JobWithCalls | None:
        """Completes a job of which something was delivered, now (then its bill) or when it can be (None)."""
        return await self._close_or_keep(principal, job_id, Closing(JobStatus.COMPLETED, error_message=error_code))

    async def close_kept(self) -> None:
        """Closes what could not be closed before, until cancelled."""
        while True:
            await asyncio.sleep(RETRY_S)
            await self._retry()
            await self._jobs.withdraw()

    async def drain(self) -> None:
        """Tries what is left a last time."""
        await self._retry()
        await self._jobs.withdraw()
        for job_id in self._kept:
            log.error("job_left_open", extra={"job_id": str(job_id)})

    async def _close_or_keep(self, principal: Principal, job_id: JobId, closing: Closing) -> JobWithCalls | None:
        try:
            with waiting.without_end():
                return await self._close(self._jobs, principal, job_id, closing)
        except (DatabaseUnavailable, CallsInFlight) as error:
            log.warning("job_closed_later", extra={"job_id": str(job_id), "reason": error.code})
            self._kept[job_id] = (principal, closing)
        return None

    async def _close(
        self, jobs: JobService, principal: Principal, job_id: JobId, closing: Closing
    ) -> JobWithCalls | None:
        """A job whose client hears of a failure is not paid, also when its bill was written and nobody knew."""
        try:
            return await jobs.complete(principal, job_id, closing)
        except JobClosed:
            closed = await jobs.get(principal, job_id)
            if closing.status is JobStatus.FAILED:
                await jobs.take_back_charge(closed, reason="its answer was never delivered")
        return None

    async def _retry(self) -> None:
        for job_id, (principal, closing) in list(self._kept.items()):
            try:
                await self._close(self._background, principal, job_id, closing)
            except (DatabaseUnavailable, CallsInFlight):
                continue
            except JobNotFound:  # or its commit is not over
                self._jobs.give_up(principal, job_id)
            except ControlPlaneError as error:
                log.warning("job_not_closed", extra={"job_id": str(job_id), "reason": error.code})
            self._kept.pop(job_id, None)

    async def _made_again(self, principal: Principal, new: NewJob, job_id: JobId) -> NewJob:
        """The job under an id of its own, because the first failed or its answer was lost with its server.

        What the first was charged is refunded: its client never heard the answer, and pays for the one it hears. Only who
        left a stream has heard some of it, and pays for that, too (D11).
        """
        is_repetition = False
        while (job := await self._jobs.find(job_id)) is not None:
            if job.error_message != CLIENT_CLOSED:
                await self._close(self._jobs, principal, job_id, Closing(JobStatus.FAILED, error_message=CallLost.code))
                is_repetition = is_repetition or job.cost_nano_usd + job.unbilled_nano_usd > 0
            job_id = JobId(following_id(job.id))
        return replace(new, id=job_id, is_repetition=is_repetition)

    async def _create(
        self, principal: Principal, new: NewJob, order: CallRequest, prepare: Prepare | None
    ) -> tuple[JobId, CallRequest]:
        """A job whose id we know: a client that leaves between the two would leave it open. And the order as admitted.

        A job that nobody asks for again, and in which nothing comes before its call, is made together with that call.
        What the call runs on is decided first: a group that may not be used, or a limit, must not leave a failed job
        behind.
        """
        order = await self._calls.admit(principal, order)
        try:
            if new.is_retaken and new.id is not None:
                new = await self._made_again(principal, new, new.id)
            is_asked_again = new.is_claimed or new.is_repeated
            if not is_asked_again and prepare is None and not self._calls.reads_files(order):
                creation = await self._jobs.creation(principal, new)
                return creation.job_id, replace(order, creation=creation)
            job = await self._to_its_end(self._jobs.create(principal, new))
            waiting.work_has_begun()  # what was begun in a task of its own lifts the limit only there
            return JobId(job.id), order
        except BaseException:
            await self._give_back(order)
            raise

    async def _give_back(self, order: CallRequest) -> None:
        """No job was made, and no call will be."""
        if order.permit is not None:
            await self._to_its_end(order.permit.give_back())


def _closing_with(order: CallRequest, principal: Principal, job_id: JobId) -> CallRequest:
    """The order of a call with which its job ends."""
    return replace(order, closing=JobClosing(principal.team(), job_id, Closing(JobStatus.COMPLETED), principal.actor))


async def prepared(
    calls: CallService, principal: Principal, job_id: JobId, order: CallRequest, prepare: Prepare
) -> CallRequest:
    """The order as prepared in its job, where that can pay for it. An order that was admitted and cannot be prepared has
    used its permit: reading files is work, too. Raises: what `require_paid` and `prepare` raise.
    """
    try:
        await calls.require_paid(principal, order, job_id)
        with waiting.off_the_clock():
            return await prepare(job_id, order)
    except BaseException:
        if order.permit is not None:
            await calls.in_flight.run_to_completion(order.permit.settle(0))
        raise


def _code_of(error: BaseException) -> str:
    """As `error_code_of`; a cancellation is a client that left, or a server that stops."""
    return "cancelled" if isinstance(error, asyncio.CancelledError) else error_code_of(error)
