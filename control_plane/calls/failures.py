"""Records calls that fail, or whose client leaves, before there is an answer."""

import asyncio
import math
from types import TracebackType

import anyio.lowlevel

from control_plane.calls.in_flight import InFlightCall, Outcome
from control_plane.calls.rules import CLIENT_CLOSED, DRAINED
from control_plane.errors import error_code_of, fault_of
from control_plane.jobs.rules import CallStatus


class RecordedFailures:
    """`async with` it around the work of a call up to its answer: what is raised there is recorded first."""

    def __init__(self, call: InFlightCall) -> None:
        self._call = call

    async def __aenter__(self) -> None:
        """Nothing is awaited: a cancellation is felt inside the block."""

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            reason = CLIENT_CLOSED if _is_scope_cancelled() else DRAINED
            await self._call.in_flight.run_to_completion(_record_cancelled(self._call, reason))
        elif isinstance(error, Exception):
            outcome = Outcome(CallStatus.FAILED, error_code=error_code_of(error), fault=fault_of(error))
            await self._call.finish(outcome)


async def raise_pending_cancellation() -> None:
    """Raises the cancellation that waits for the next await, if there is one."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await asyncio.sleep(0)


async def _record_cancelled(call: InFlightCall, reason: str) -> None:
    """The cost of an abandoned answer: the prompt, if the provider has it."""
    if call.is_at_provider:
        usage, cost = await call.gateway.estimate(call.to_provider)
        await call.record(Outcome(CallStatus.CANCELLED, usage=usage, cost=cost, error_code=reason))
    else:
        await call.record(Outcome(CallStatus.CANCELLED, error_code=reason))


def _is_scope_cancelled() -> bool:
    """Whether a client has left: its departure cancels a scope, while a server that stops cancels the task itself."""
    return anyio.current_effective_deadline() == -math.inf
