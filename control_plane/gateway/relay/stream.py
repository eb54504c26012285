"""One relayed answer while it arrives: its events out of the provider's bytes, without an object of litellm."""

import logging
from collections.abc import Callable

import aiohttp

from control_plane.chat import ChatRequest
from control_plane.completion.events import Broken
from control_plane.completion.usage import Usage
from control_plane.gateway.asked import answer_reader
from control_plane.gateway.bounds import Timing
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.relay.relay import failed, failure
from control_plane.gateway.relay.targets import Target
from control_plane.gateway.streams import EventStream
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)


class RelayStream(EventStream):
    """Async iterator of events. It is read and closed by one task at a time, as a generator is."""

    def __init__(
        self,
        target: Target,
        request: ChatRequest,
        response: aiohttp.ClientResponse,
        timing: Timing,
        *,
        release: Callable[[aiohttp.ClientResponse], None],
        on_failure: Callable[[Exception], None],
        on_settled: Callable[[ChunkReader, Usage, NanoUsd | None, Exception | None], None],
    ) -> None:
        """`release`: takes a response that has been read; `on_failure`: called with what broke an answer that had begun;
        `on_settled`: called once with what an answer that came to its end, or broke, used and cost.
        """
        super().__init__(request, target.serving, timing)
        self._target = target
        self._response = response
        self._release = release
        self._on_failure = on_failure
        self._on_settled = on_settled
        self._answer = answer_reader(request, max_bytes=timing.bounds.answer_bytes)
        self._is_primed = False
        self._is_reported = False

    async def prime(self) -> None:
        """As every stream. A failure behind the first event cools the deployment down."""
        await super().prime()
        self._is_primed = True
        if self._failure is not None:
            self._on_failure(self._failure)

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """As every stream; also reports to the Router and the spend log."""
        usage, cost = await super().settle()
        if not self._is_reported and (self._is_whole or self._failure is not None):
            self._is_reported = True
            self._on_settled(self._answer.chunks, usage, cost, self._failure)
        return usage, cost

    def _reader(self) -> ChunkReader:
        return self._answer.chunks

    async def _read(self) -> None:
        try:
            received = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            if not self._answer.chunks.has_finish:
                raise failure(self._target, exc) from exc
            log.warning("stream_tail_lost", extra={"error_class": type(exc).__name__})
            received = b""  # the answer is whole; only what comes behind it is missing
        events = self._answer.feed(received)
        if self._answer.is_done or not received:
            events += self._answer.end()
        for event in events:
            if isinstance(event, Broken):
                raise failed(self._target, event.fault)
            self._ready.append(event)
        if self._answer.is_done or not received:
            self._end()

    def _broke(self, exc: Exception) -> None:
        if self._is_primed:
            self._on_failure(exc)

    async def _release_connection(self) -> None:
        """At once, unless the answer is whole: then its connection can serve again."""
        if self._is_whole:
            self._release(self._response)
        else:
            self._response.close()
