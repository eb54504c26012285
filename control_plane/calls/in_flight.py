"""A call in flight, between its intent and its record. It is finished exactly once in every case."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from control_plane import failpoints
from control_plane.calls.write_items import Written
from control_plane.calls.writer import CallWriter
from control_plane.chat import Answer, Completion, ProviderCall, ServedBy
from control_plane.clock import Clock
from control_plane.completion.events import ProviderFault
from control_plane.completion.faults import log_fields
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import CallLost, ControlPlaneError, DatabaseUnavailable
from control_plane.gateway.router import Gateway
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.rules import CallStatus, Intent, Record
from control_plane.jobs.values import ClosedJob
from control_plane.limits.service import Permit
from control_plane.traces import CallSpan, Traces
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended at the provider. `cost` is None when the price is unknown."""

    status: CallStatus
    usage: Usage = Usage()  # noqa: RUF009 - frozen, so sharing it is safe
    cost: NanoUsd | None = NanoUsd(0)  # noqa: RUF009 - an int
    served: ServedBy | None = None
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    fault: ProviderFault | None = None

    @classmethod
    def of(cls, answer: Answer) -> "Outcome":
        """A buffered call that was answered."""
        return cls(
            CallStatus.SUCCEEDED,
            usage=answer.usage,
            cost=answer.cost,
            served=answer.served,
            finish_reason=answer.ending.finish.reason if isinstance(answer, Completion) else None,
        )


class InFlight:
    """The calls of this process between intent and record, and the work that must not be left half done."""

    def __init__(self) -> None:
        self.calls: set[InFlightCall] = set()
        self._works: set[asyncio.Task[Any]] = set()
        self._landed = asyncio.Event()
        self._landed.set()

    def add(self, call: "InFlightCall") -> None:
        """A call has its intent."""
        self.calls.add(call)
        self._landed.clear()

    def remove(self, call: "InFlightCall") -> None:
        """A call has its record."""
        self.calls.discard(call)
        self._look()

    async def run_to_completion(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which no cancellation interrupts; one that comes meanwhile is raised at the next await.

        A shield alone holds against a scope, as of a client that leaves, and not against `task.cancel()`, as of a
        server whose grace is over. Hence a separate task.
        """
        task = asyncio.create_task(work)
        self._works.add(task)
        self._landed.clear()
        task.add_done_callback(self._worked)
        interruption: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError as error:
                    interruption = error
        if interruption is not None:
            waiting = asyncio.current_task()
            assert waiting is not None, "a coroutine runs in a task"
            waiting.uncancel()
            waiting.cancel(*interruption.args)
        return task.result()

    async def wait_until_idle(self, timeout_s: float, *, most_s: float = 0.0) -> None:
        """Returns when nothing is in flight; after `timeout_s`, unless a call has ended within them; and after
        `most_s`, if that is longer, in any case: a stop while a thousand streams end waits until they are settled.
        """
        ends_at = anyio.current_time() + max(timeout_s, most_s)
        left = None
        while not self._landed.is_set() and (left is None or len(self.calls) < left):
            left = len(self.calls)
            with anyio.move_on_at(min(ends_at, anyio.current_time() + timeout_s)):
                await self._landed.wait()
            if anyio.current_time() >= ends_at:
                return

    def _worked(self, task: asyncio.Task[Any]) -> None:
        self._works.discard(task)
        self._look()

    def _look(self) -> None:
        if not self.calls and not self._works:
            self._landed.set()


class InFlightCall:
    """One call in flight. `latency_ms` runs from the intent to the record; `permit` is settled with it, and `gateway`
    left. `is_cached`: its answer is from the response cache; `may_use_cached`: whether it may be. `is_at_provider`: the
    provider was called, and charges for the prompt at least.
    """

    def __init__(  # noqa: PLR0913 - all that has to be done when it ends
        self,
        intent: Intent,
        to_provider: ProviderCall,
        *,
        gateway: Gateway,
        permit: Permit,
        credits_remaining: int,
        writer: CallWriter,
        clock: Clock,
        traces: Traces,
        in_flight: "InFlight",
        may_use_cached: bool = True,
        closing: JobClosing | None = None,
    ) -> None:
        """`closing`: of its job, if that ends with it; `closed` is the job then, unless it could not be closed yet."""
        self.may_use_cached = may_use_cached
        self.closed: ClosedJob | None = None
        self._closing = closing
        self.is_cached = False
        self.is_at_provider = False
        self.intent = intent
        self.to_provider = to_provider
        self.gateway = gateway
        self.permit = permit
        self.credits_remaining = credits_remaining
        self.first_chunk_ms: int | None = None
        self.latency_ms = 0
        self.is_finished = False
        self._started = time.monotonic()
        self._writer = writer
        self._clock = clock
        self._traces = traces
        self.in_flight = in_flight
        in_flight.add(self)

    def elapsed_ms(self) -> int:
        """Milliseconds since the call was opened."""
        return round((time.monotonic() - self._started) * 1000)

    def span(self, name: str) -> CallSpan:
        """Starts a span of the call."""
        return self._traces.span(
            name, job_id=self.intent.job_id, call_id=self.intent.call_id, model_group=self.intent.model_group
        )

    def span_at_provider(self) -> CallSpan:
        """Starts the span of the provider, which has the call from now on."""
        self.is_at_provider = True
        return self.span("provider")

    async def finish(self, outcome: Outcome) -> None:
        """Makes the record durable, even if its caller is cancelled meanwhile. Raises: as `record`."""
        await self.in_flight.run_to_completion(self.record(outcome))

    async def record(self, outcome: Outcome) -> None:
        """Makes the record durable, as the last part of work that runs to its end. The second time does nothing.

        Whatever fails on the way, the call ends, is recorded and gives back what it held.
        Raises: DatabaseUnavailable (the writer keeps the record until the database is back), CallLost.
        """
        if self.is_finished:
            return
        self.is_finished = True
        self.latency_ms = self.elapsed_ms()
        try:
            written = await self._write(outcome)
        finally:
            await self._settle(self._used(outcome))
        self._log(outcome)
        if not written.is_first:
            raise CallLost

    def _used(self, outcome: Outcome) -> Usage:
        """A cached answer has used nothing."""
        return Usage() if self.is_cached else outcome.usage

    def _build(self, outcome: Outcome) -> Record:
        failpoints.reach("building_record")
        return Record(
            self.intent,
            outcome.status,
            self._used(outcome),
            outcome.cost or NanoUsd(0),
            self.latency_ms,
            self._clock(),
            served=outcome.served,
            first_chunk_ms=self.first_chunk_ms,
            finish_reason=outcome.finish_reason,
            error_code=outcome.error_code,
            is_cached=self.is_cached,
            is_unpriced=outcome.cost is None,
            fault=outcome.fault,
        )

    def _build_failed(self) -> Record:
        """The record of a call whose own cannot be built or written: the call must not stay open."""
        return Record(
            self.intent,
            CallStatus.FAILED,
            Usage(),
            NanoUsd(0),
            self.latency_ms,
            self._clock(),
            first_chunk_ms=self.first_chunk_ms,
            error_code=ControlPlaneError.code,
        )

    async def _write(self, outcome: Outcome) -> Written:
        """Raises: DatabaseUnavailable; what else fails, once a record of a failed call is durable."""
        try:
            with self.span("record") as span:
                record = self._build(outcome)
                span.set(**_attributes(record))
                failpoints.reach("writing_record")
                is_last = outcome.status is CallStatus.SUCCEEDED
                written = await self._writer.finish(record, self._closing if is_last else None)
                self.closed = written.closed
        except DatabaseUnavailable as error:
            raise DatabaseUnavailable(
                "The database went away during the call; its record is kept and written when the database is back.",
                retry_after_s=error.retry_after_s,
            ) from error
        except Exception:
            await self._writer.finish(self._build_failed())
            raise
        failpoints.reach("record_committed")
        return written

    async def _settle(self, used: Usage) -> None:
        """Gives back what the call held: its permit, its gateway, its place among the calls in flight."""
        try:
            failpoints.reach("settling_permit")
            await self.permit.settle(used.total_tokens)
        except Exception:
            log.exception("permit_not_settled", extra={"call_id": str(self.intent.call_id)})
            await self.permit.settle(used.total_tokens)
        finally:
            self.gateway.leave()
            self.in_flight.remove(self)

    def _log(self, outcome: Outcome) -> None:
        """Never raises: what was recorded and billed has not failed."""
        try:
            failpoints.reach("logging_call")
            if outcome.cost is None:
                log.warning("call_unpriced", extra={"call_id": str(self.intent.call_id)})
            log.info("call_finished", extra=self._log_fields(outcome))
        except Exception:
            log.exception("call_not_logged", extra={"call_id": str(self.intent.call_id)})

    def _log_fields(self, outcome: Outcome) -> Mapping[str, object]:
        return {
            "call_id": str(self.intent.call_id),
            "job_id": str(self.intent.job_id),
            "team_id": self.intent.team_id,
            "model_group": self.intent.model_group,
            "deployment": outcome.served.deployment_id if outcome.served else None,
            "status": outcome.status.value,
            "error": outcome.error_code,
            "tokens": self._used(outcome).total_tokens,
            "cost_nano_usd": outcome.cost,
            "cached": self.is_cached,
            "latency_ms": self.latency_ms,
            "first_chunk_ms": self.first_chunk_ms,
            **log_fields(outcome.fault),
        }


def _attributes(record: Record) -> Mapping[str, object]:
    """The attributes of the record's span. A cost that is unknown is none."""
    served = record.served
    return {
        "status": record.status.value,
        "error": record.error_code,
        "deployment": served.deployment_id if served else None,
        "model": served.model if served else None,
        "lane": served.lane if served else None,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "cost_nano_usd": None if record.is_unpriced else record.cost,
        "is_cached": record.is_cached,
    }
