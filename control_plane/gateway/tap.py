"""The providers' responses to one call, as read on their way to LiteLLM.

In LiteLLM's lane all HTTP between LiteLLM and the providers passes here (`tapped_transport.py`). An answer in OpenAI's
wire, or in one that is translated here, is read from the provider's own bytes, by the same reader as in the relay;
LiteLLM gets a copy in the plainest form, so that its retries, fallbacks and reports work as usual. Answers in other
wires pass through LiteLLM's translation; their finish reason and usage are read in parallel.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import anyio

from control_plane.chat import ChatRequest
from control_plane.completion.events import Broken, Content, ProviderFault
from control_plane.gateway.asked import answers_asked, chunk_reader, may_be_empty, tool_names
from control_plane.gateway.bounds import Timing
from control_plane.gateway.documents_of import whole_document
from control_plane.gateway.errors import failed_with, fault_of
from control_plane.gateway.reading.answer import AnswerReader
from control_plane.gateway.reading.chunks import EMPTY, ChunkReader
from control_plane.gateway.reading.native import NativeEnd, Wire
from control_plane.gateway.reading.translated import TranslatedChunks, translator_of

UNTRANSLATED = ProviderFault(500, text="an answer that cannot be read")


class Body(Protocol):
    """A streamed answer."""

    async def aclose(self) -> None:
        """Closes the connection to the provider. Any number of times."""


class Tap:
    """The providers' responses to one call. The latest counts: LiteLLM may call several in turn.

    `chunks` and `events`: of an answer that is read here; `chunks` is None for one that LiteLLM translates.
    """

    def __init__(self, request: ChatRequest, timing: Timing) -> None:
        """`timing`: of the call."""
        self._request = request
        self.timing = timing
        self._body: Body | None = None
        self.faults: list[ProviderFault] = []
        self.responses = 0
        self.chunks: ChunkReader | None = None
        self.native = NativeEnd()
        self.events: deque[Content] = deque()

    async def begin(self, body: Body | None = None) -> None:
        """A provider's response begins, in a wire that is not known yet. `body`: where the answer is streamed."""
        await self.aclose()
        self._body = body
        self.responses += 1
        self.chunks = None
        self.native = NativeEnd()
        self.events.clear()

    def reader(self, wire: Wire) -> AnswerReader:
        """Reads the answer that has begun, in a wire that is read here."""
        translator = translator_of(wire)
        self.chunks = (
            chunk_reader(self._request)
            if translator is None
            else TranslatedChunks(
                translator,
                self.native,
                answers=answers_asked(self._request),
                tools=tool_names(self._request),
                may_be_empty=may_be_empty(self._request),
            )
        )
        return AnswerReader(self.chunks, max_bytes=self.timing.bounds.answer_bytes)

    def _fault_behind(self, status: int | None) -> ProviderFault | None:
        """The fault behind LiteLLM's exception of that status: the first bad response with it, else the first one.

        For a response that it cannot translate LiteLLM blames the request.
        """
        if self.responses and status in (400, 422) and not any(fault.status == status for fault in self.faults):
            return UNTRANSLATED
        first = self.faults[0] if self.faults else None
        return next((fault for fault in self.faults if fault.status == status), first)

    def emptiness(self) -> ProviderFault | None:
        """The fault of an ended answer that LiteLLM would translate."""
        return EMPTY if self.native.is_empty() and not may_be_empty(self._request) else None

    def answer_of(self, response: Any) -> tuple[ChunkReader, list[Content]]:
        """A buffered answer: as it was read here, or as LiteLLM translated it.

        Raises: ProviderFailed for one that is none.
        """
        if self.chunks is not None:
            return self.chunks, list(self.events)
        chunks = chunk_reader(self._request)
        events = chunks.take(whole_document(response))
        self.complete(chunks)
        events += chunks.end()
        contents: list[Content] = []
        for event in events:
            if isinstance(event, Broken):
                raise failed_with(None, event.fault)
            contents.append(event)
        return chunks, contents

    def complete(self, chunks: ChunkReader) -> None:
        """Adds the provider's finish reason and usage to an answer that LiteLLM translated."""
        if self.native.is_known:
            chunks.usage = self.native.usage
            chunks.finish(self.native.ends, self.native.stop_sequence)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While LiteLLM does something for this call. Exceptions get to hold what the provider reported; the connection
        is closed then.
        """
        token = _TAP.set(self)
        try:
            yield
        except BaseException as exc:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            if isinstance(exc, Exception) and fault_of(exc) is None:
                fault = self._fault_behind(getattr(exc, "status_code", None))
                if fault is not None:
                    failed_with(exc, fault)
            raise
        finally:
            _TAP.reset(token)

    async def aclose(self) -> None:
        """Closes the connection to the provider, if one is open."""
        body, self._body = self._body, None
        if body is not None:
            await body.aclose()


_TAP: ContextVar[Tap | None] = ContextVar("tap", default=None)


def current_tap() -> Tap | None:
    """Of the call that is made at the moment."""
    return _TAP.get()
