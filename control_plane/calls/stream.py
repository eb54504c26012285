"""A streamed call as its door sees it: chunks, then an end that is durable, or an abandonment that is recorded."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

from control_plane.cache.forms import HeardStream
from control_plane.cache.rules import MOST_PIECES
from control_plane.cache.service import Slot
from control_plane.calls.live import LiveCall, Outcome
from control_plane.chat import Chunk, Ending, Served
from control_plane.completion.usage import Usage
from control_plane.errors import error_code_of
from control_plane.gateway.streams import AnswerStream
from control_plane.jobs.rules import CallStatus
from control_plane.units import NanoUsd

Settled = tuple[Usage, NanoUsd | None]

log = logging.getLogger(__name__)


class LiveStream:
    """Iterate it for the chunks, then `end()` it. Always `abandon()` it last: that does nothing after a proper end."""

    def __init__(self, call: LiveCall, upstream: AnswerStream, slot: Slot[HeardStream]) -> None:
        """`slot`: where the whole answer may be kept."""
        self.call = call
        self._upstream = upstream
        self._slot = slot
        self._is_kept = slot.may_be_filled and not call.is_cached
        self._heard: list[Chunk] = []
        self._room = call.room("stream")

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
                    self._hear(chunk)
                    return chunk
        except Exception as error:
            await self._finish(CallStatus.FAILED, error_code=error_code_of(error))
            raise
        raise StopAsyncIteration

    def _hear(self, chunk: Chunk) -> None:
        self._is_kept = self._is_kept and len(self._heard) < MOST_PIECES
        if self._is_kept:
            self._heard.append(chunk)
        else:
            self._heard.clear()

    async def end(self) -> Ending:
        """Records the whole answer; only after this may the client be told that the stream is complete."""
        usage, cost = await self._finish(CallStatus.SUCCEEDED)
        ending = replace(self._upstream.ending(usage), cost=cost)
        if self._is_kept:
            self._slot.keep(HeardStream(self._heard, ending, self.served))
        return ending

    async def abandon(self, error_code: str) -> None:
        """Closes the upstream connection at once and records what was produced, unless the call has ended before."""
        if not self.call.is_finished:
            await self._finish(CallStatus.CANCELLED, error_code=error_code)

    async def _finish(self, status: CallStatus, *, error_code: str | None = None) -> Settled:
        return await self.call.in_flight.to_its_end(self._close_and_record(status, error_code))

    async def _close_and_record(self, status: CallStatus, error_code: str | None) -> Settled:
        try:
            await self._upstream.aclose()
        except Exception:  # what was produced is recorded all the same
            log.exception("upstream_not_closed", extra={"call_id": str(self.call.intent.call_id)})
        usage, cost = await self._upstream.settle()
        self._room.end(error_code)
        await self.call.record(
            Outcome(
                status,
                usage=usage,
                cost=cost,
                served=self.served,
                finish_reason=self._upstream.ending(usage).finish_reason if status is CallStatus.SUCCEEDED else None,
                error_code=error_code,
            )
        )
        return usage, cost


class JobStream:
    """A `LiveStream` whose end has consequences for its job: both happen, or the stream fails.

    `on_end` follows the record of the whole answer, `on_abandon` that of a stream that did not come to its end.
    """

    def __init__(
        self,
        stream: LiveStream,
        *,
        on_end: Callable[[], Awaitable[None]],
        on_abandon: Callable[[str], Awaitable[None]],
    ) -> None:
        self.call = stream.call
        self._stream = stream
        self._on_end = on_end
        self._on_abandon = on_abandon
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

    async def end(self) -> Ending:
        """Records the answer and does what follows, both or, when the record fails, neither."""
        return await self.call.in_flight.to_its_end(self._record_and_follow())

    async def abandon(self, error_code: str) -> None:
        """Records what was produced and does what follows from that. Does nothing after a proper end."""
        if not self._is_closed:
            self._is_closed = True
            await self.call.in_flight.to_its_end(self._record_and_give_up(error_code))

    async def _record_and_follow(self) -> Ending:
        ending = await self._stream.end()
        await self._on_end()
        self._is_closed = True
        return ending

    async def _record_and_give_up(self, error_code: str) -> None:
        try:
            await self._stream.abandon(error_code)
        finally:
            await self._on_abandon(error_code)
