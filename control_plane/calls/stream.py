"""A streamed call for an entry point: chunks, then a durable end or a recorded abandonment."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Self

from control_plane import failpoints
from control_plane.cache.codecs import RecordedAnswer
from control_plane.cache.rules import MOST_PIECES
from control_plane.cache.service import CacheEntry
from control_plane.calls.in_flight import InFlightCall, Outcome
from control_plane.calls.rules import CLIENT_CLOSED, DRAINED
from control_plane.chat import Ending, ServedBy
from control_plane.completion.events import Content, ProviderFault
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import CallTimedOut, break_off, error_code_of, fault_of
from control_plane.gateway.streams import AnswerStream
from control_plane.jobs.rules import CallStatus
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)


Render = Callable[[Ending], bytes]
"""Makes the last events of a stream, in the words of its API."""

LEFT = frozenset({CLIENT_CLOSED, DRAINED, CallTimedOut.code})
"""Why streams are cut off, which is not the provider's failure: they are billed on what was delivered."""


class InFlightStream:
    """Iterate it for the events, as of an `AnswerStream`, then `end()` it. Always `abandon()` it last: that does nothing after a proper end."""

    def __init__(self, call: InFlightCall, upstream: AnswerStream, entry: CacheEntry[RecordedAnswer]) -> None:
        """`entry`: of the cache, where the whole answer may be stored."""
        self.call = call
        self._upstream = upstream
        self._entry = entry
        self._is_recorded = entry.may_be_filled and not call.is_cached
        self._events: list[Content] = []
        self._span = call.span("stream")
        self._has_begun = False

    @property
    def served(self) -> ServedBy:
        """The serving deployment; final."""
        return self._upstream.served

    @property
    def input_usage(self) -> Usage:
        """The provider's reported usage of the input so far, or our estimate of it."""
        demand = self.call.intent.demand
        return self._upstream.input_usage or Usage(prompt_tokens=demand.expected_prompt_tokens, is_estimated=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Content]:
        """The next events. Raises: ProviderError, recorded first."""
        try:
            events = await anext(self._upstream)
        except StopAsyncIteration:
            raise
        except Exception as error:
            if self._has_begun:
                break_off(error)
            status = CallStatus.CANCELLED if error_code_of(error) in LEFT else CallStatus.FAILED
            work = self._close_and_record(status, error_code_of(error), fault_of(error))
            await self.call.in_flight.run_to_completion(work)
            raise
        if self._is_recorded:
            self._record(events)
        self._has_begun = True
        return events

    def _record(self, events: Sequence[Content]) -> None:
        self._is_recorded = len(self._events) + len(events) <= MOST_PIECES
        if self._is_recorded:
            self._events += events
        else:
            self._events.clear()

    async def end(self, render: Render) -> bytes:
        """Records the whole answer; only after this may the client get the end of the stream.

        The last events are rendered first: an answer that cannot be rendered is a failed call. Raises: what `render`
        raises; as `InFlightCall.record`.
        """
        return await self.call.in_flight.run_to_completion(self._render_and_record(render))

    async def abandon(self, error_code: str) -> None:
        """Closes the upstream connection at once and records what was produced, unless the call has ended before."""
        if not self.call.is_finished:
            status = CallStatus.CANCELLED if error_code in LEFT else CallStatus.FAILED
            await self.call.in_flight.run_to_completion(self._close_and_record(status, error_code))

    async def _render_and_record(self, render: Render) -> bytes:
        usage, cost = await self._close_and_settle()
        finishes = self._upstream.finishes()
        ending = Ending(finishes, usage, cost)
        try:
            failpoints.reach("rendering")
            rendered = render(ending)
        except Exception as error:
            log.exception("answer_not_rendered", extra={"call_id": str(self.call.intent.call_id)})
            await self.call.record(self._outcome(CallStatus.FAILED, usage, cost, error_code_of(error)))
            raise
        await self.call.record(self._outcome(CallStatus.SUCCEEDED, usage, cost, None, finishes[0].reason))
        if self._is_recorded:
            self._entry.put(RecordedAnswer(self._events, ending, self.served))
        return rendered

    async def _close_and_record(self, status: CallStatus, error_code: str, fault: ProviderFault | None = None) -> None:
        usage, cost = await self._close_and_settle()
        await self.call.record(replace(self._outcome(status, usage, cost, error_code), fault=fault))

    async def _close_and_settle(self) -> tuple[Usage, NanoUsd | None]:
        """The usage, in any case: the call must end."""
        call_id = str(self.call.intent.call_id)
        try:
            failpoints.reach("closing_upstream")
            await self._upstream.aclose()
        except Exception:  # what was produced is recorded all the same
            log.exception("upstream_not_closed", extra={"call_id": call_id})
        try:
            failpoints.reach("settling")
            return await self._upstream.settle()
        except Exception:
            log.exception("usage_not_settled", extra={"call_id": call_id})
            demand = self.call.intent.demand
            usage = Usage(prompt_tokens=demand.expected_prompt_tokens, is_estimated=True)
            return usage, demand.expected_prompt_cost if demand.rate.is_known else None

    def _outcome(
        self,
        status: CallStatus,
        usage: Usage,
        cost: NanoUsd | None,
        error_code: str | None,
        finish_reason: FinishReason | None = None,
    ) -> Outcome:
        self._span.end(error_code)
        return Outcome(
            status, usage=usage, cost=cost, served=self.served, finish_reason=finish_reason, error_code=error_code
        )


class JobStream:
    """A `InFlightStream` whose end has consequences for its job: both happen, or the stream fails.

    `on_end` follows the record of the whole answer, `on_abandon` that of a stream that did not come to its end; None: a
    broken stream has no consequence for a job of several calls.
    """

    def __init__(
        self,
        stream: InFlightStream,
        *,
        on_end: Callable[[], Awaitable[object]],
        on_abandon: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.call = stream.call
        self._stream = stream
        self._on_end = on_end
        self._on_abandon = on_abandon
        self._is_closed = False

    @property
    def served(self) -> ServedBy:
        """The serving deployment."""
        return self._stream.served

    def __aiter__(self) -> Self:
        return self

    @property
    def input_usage(self) -> Usage:
        """The provider's reported usage of the input so far, or our estimate of it."""
        return self._stream.input_usage

    async def __anext__(self) -> Sequence[Content]:
        """The next events. Raises: ProviderError."""
        return await anext(self._stream)

    async def end(self, render: Render) -> bytes:
        """Records the answer and does what follows, both or, when the record fails, neither."""
        return await self.call.in_flight.run_to_completion(self._record_and_follow(render))

    async def abandon(self, error_code: str) -> None:
        """Records what was produced and does what follows from that. Does nothing after a proper end."""
        if not self._is_closed:
            self._is_closed = True
            await self.call.in_flight.run_to_completion(self._record_and_give_up(error_code))

    async def _record_and_follow(self, render: Render) -> bytes:
        rendered = await self._stream.end(render)
        await self._on_end()
        self._is_closed = True
        return rendered

    async def _record_and_give_up(self, error_code: str) -> None:
        try:
            await self._stream.abandon(error_code)
        finally:
            if self._on_abandon is not None:
                await self._on_abandon(error_code)
