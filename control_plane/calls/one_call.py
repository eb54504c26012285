"""A job of one call: opened, called and closed in one request. What has no job of its own runs through here."""

from dataclasses import dataclass
from typing import Self

import anyio

from control_plane.calls.service import AnsweredCall, CallOrder, CallService
from control_plane.calls.stream import LiveStream
from control_plane.chat import Chunk, FinishReason, Served, Usage
from control_plane.errors import error_code_of
from control_plane.ids import JobId
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.service import Closing, JobService, JobWithCalls, NewJob
from control_plane.tenants.principal import Principal


@dataclass(frozen=True, slots=True)
class AnsweredJob:
    """A one-call job: the answer and the bill."""

    call: AnsweredCall
    bill: JobWithCalls


class OneCallJobs:
    """Opens a job around one call. A call that fails closes its job as failed, which costs nothing."""

    def __init__(self, jobs: JobService, calls: CallService) -> None:
        self._jobs = jobs
        self._calls = calls

    async def call(self, who: Principal, new: NewJob, order: CallOrder) -> AnsweredJob:
        """One buffered call in a job of its own. Raises: what creating a job and calling raise."""
        job_id = JobId((await self._jobs.create(who, new)).id)
        try:
            answered = await self._calls.call(who, job_id, order)
        except BaseException as error:
            await self._fail(who, job_id, error)
            raise
        return AnsweredJob(answered, await self._jobs.complete(who, job_id, Closing(JobStatus.COMPLETED)))

    async def stream(self, who: Principal, new: NewJob, order: CallOrder) -> "OneCallStream":
        """One streamed call in a job of its own."""
        job_id = JobId((await self._jobs.create(who, new)).id)
        try:
            stream = await self._calls.stream(who, job_id, order)
        except BaseException as error:
            await self._fail(who, job_id, error)
            raise
        return OneCallStream(stream, who, self._jobs)

    async def _fail(self, who: Principal, job_id: JobId, error: BaseException) -> None:
        with anyio.CancelScope(shield=True):
            await self._jobs.complete(who, job_id, Closing(JobStatus.FAILED, error_message=error_code_of(error)))


class OneCallStream:
    """A `LiveStream` whose end is also the end of its job."""

    def __init__(self, stream: LiveStream, who: Principal, jobs: JobService) -> None:
        self.call = stream.call
        self._stream = stream
        self._who = who
        self._jobs = jobs
        self._is_closed = False

    @property
    def served(self) -> Served:
        """Who answers."""
        return self._stream.served

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk with content. Raises: ProviderError."""
        return await anext(self._stream)

    async def end(self) -> tuple[FinishReason, Usage]:
        """Records the answer and bills the job, both or, when the record fails, neither."""
        with anyio.CancelScope(shield=True):
            ending = await self._stream.end()
            await self._jobs.complete(self._who, self.call.intent.job_id, Closing(JobStatus.COMPLETED))
            self._is_closed = True
        return ending

    async def abandon(self, error_code: str) -> None:
        """Records what was produced and closes the job as failed. Does nothing after a proper end."""
        with anyio.CancelScope(shield=True):
            await self._stream.abandon(error_code)
            if not self._is_closed:
                self._is_closed = True
                closing = Closing(JobStatus.FAILED, error_message=error_code)
                await self._jobs.complete(self._who, self.call.intent.job_id, closing)
