"""A streamed call as its door sees it: chunks, then an end that is durable, or an abandonment that is recorded."""

import logging
from typing import Self

from control_plane.calls.live import LiveCall, Outcome
from control_plane.chat import Chunk, FinishReason, Served, Usage
from control_plane.errors import error_code_of
from control_plane.gateway.streams import ProviderStream
from control_plane.jobs.rules import CallStatus

log = logging.getLogger(__name__)


class LiveStream:
    """Iterate it for the chunks, then `end()` it. Always `abandon()` it last: that does nothing after a proper end."""

    def __init__(self, call: LiveCall, upstream: ProviderStream) -> None:
        self.call = call
        self._upstream = upstream
        self._finish_reason: FinishReason = "stop"

    @property
    def served(self) -> Served:
        """Who answers; does not change any more."""
        return self._upstream.served

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk with content; the finishing one is kept for `end()`. Raises: ProviderError, recorded first."""
        try:
            async for chunk in self._upstream:
                if chunk.finish_reason is None:
                    return chunk
                self._finish_reason = chunk.finish_reason
        except Exception as error:
            await self._finish(CallStatus.FAILED, error_code=error_code_of(error))
            raise
        raise StopAsyncIteration

    async def end(self) -> tuple[FinishReason, Usage]:
        """Records the whole answer; only after this may the client be told that the stream is complete."""
        usage = await self._finish(CallStatus.SUCCEEDED)
        return self._finish_reason, usage

    async def abandon(self, error_code: str) -> None:
        """Closes the upstream connection at once and records what was produced, unless the call has ended before."""
        if not self.call.is_finished:
            await self._finish(CallStatus.CANCELLED, error_code=error_code)

    async def _finish(self, status: CallStatus, *, error_code: str | None = None) -> Usage:
        return await self.call.in_flight.to_its_end(self._close_and_record(status, error_code))

    async def _close_and_record(self, status: CallStatus, error_code: str | None) -> Usage:
        try:
            await self._upstream.aclose()
        except Exception:  # what was produced is recorded all the same
            log.exception("upstream_not_closed", extra={"call_id": str(self.call.intent.call_id)})
        usage, cost = await self._upstream.settle()
        await self.call.record(
            Outcome(
                status,
                usage=usage,
                cost=cost,
                served=self.served,
                finish_reason=self._finish_reason if status is CallStatus.SUCCEEDED else None,
                error_code=error_code,
            )
        )
        return usage
