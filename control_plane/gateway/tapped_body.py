"""A streamed answer on its way from a provider to LiteLLM (see `tap.py`)."""

from collections.abc import AsyncIterator
from contextlib import suppress

import httpx

from control_plane.completion.events import Broken, ProviderFault
from control_plane.gateway.bounds import Limit, Overdue
from control_plane.gateway.errors import FAULT, failed_with
from control_plane.gateway.plain_answers import PlainAnswer
from control_plane.gateway.reading.answer import STREAMED, TOO_LARGE, AnswerReader
from control_plane.gateway.reading.json_text import parse
from control_plane.gateway.reading.native import NativeEnd, Wire, wire_of
from control_plane.gateway.reading.passing import FramePassing, LinePassing, Passing, SsePassing
from control_plane.gateway.reading.sse import BOM, EventTooLong, SseReader
from control_plane.gateway.tap import Tap

SSE_BEGINNINGS = (b"data", b"event", b"id:", b"retry", b":")

SSE = "text/event-stream"

MISPLACED = ProviderFault(500, text="a whole document in the place of a stream")


class TappedBody(httpx.AsyncByteStream):
    """Yields what LiteLLM gets.

    Which wire it is in shows with its first document; nothing waits longer than for that, but what is read here: of that
    LiteLLM needs nothing before its first event.
    """

    def __init__(self, tap: Tap, response: httpx.Response, model: str) -> None:
        """`model`: the name that was asked for."""
        self._fault: ProviderFault | None = None
        self.content_type: str | None = None
        self._tap = tap
        self._limit = Limit(tap.timing)
        self._response = response
        self._model = model
        self._received = response.aiter_bytes()
        self._head = b""
        self._ready: list[bytes] = []
        self._answer: AnswerReader | None = None
        self._plain: PlainAnswer | None = None
        self._passing: Passing | None = None
        self._is_over = False
        self._length = 0

    async def prime(self) -> ProviderFault | None:
        """Waits until LiteLLM has something to read. Returns: why there is nothing."""
        while not self._ready and not self._is_over:
            await self._advance()
        return None if self._ready else self._fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                if self._ready:
                    ready, self._ready = self._ready, []
                    yield b"".join(ready)
                elif self._fault is not None:
                    raise _as_litellm(self._fault)
                elif self._is_over:
                    return
                else:
                    await self._advance()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection to the provider. Any number of times."""
        self._limit.close()
        with suppress(RuntimeError):  # another task, which is cancelled, reads
            await self._received.aclose()  # type: ignore[attr-defined]  # httpx makes generators
        await self._response.aclose()

    async def _advance(self) -> None:
        """Takes what the provider sends next."""
        try:
            with self._limit:
                received = await anext(self._received, b"")
        except Overdue as overdue:
            raise failed_with(httpx.ReadTimeout(str(overdue), request=self._response.request), overdue.fault) from None
        except httpx.HTTPError:
            if not self._has_finish():
                raise
            received = b""  # the answer is whole; only what comes behind it is missing
        self._is_over = not received
        if self._answer is None and self._passing is None:
            self._head += received
            self._decide()
            received, self._head = (self._head, b"") if self._is_decided() else (b"", self._head)
        self._length += len(received)
        if self._answer is None and self._length > self._tap.timing.bounds.answer_bytes * STREAMED:
            self._fault, self._is_over = TOO_LARGE, True
        elif self._answer is not None:
            self._take(self._answer, received)
        elif self._passing is not None:
            self._pass(self._passing, received)
        if self._ready:
            self._tap.timing.piece()

    def _is_decided(self) -> bool:
        return self._answer is not None or self._passing is not None

    def _has_finish(self) -> bool:
        """Whether the provider has said why the answer ended."""
        return self._answer.chunks.has_finish if self._answer is not None else bool(self._tap.native.ends)

    def _decide(self) -> None:
        """In which wire the answer is, as soon as that can be seen."""
        if "eventstream" in self._response.headers.get("content-type", ""):
            self._passing = FramePassing(self._tap.native, self._model)
            return
        start = self._head.removeprefix(BOM).lstrip()
        if start.startswith((b"{", b"[")):
            self._decide_on_json(start)
        elif start.startswith(SSE_BEGINNINGS):
            self._decide_on_events()
        elif self._is_over or len(start) >= len("event"):
            self._begin("openai")  # which says that it is no answer

    def _decide_on_json(self, start: bytes) -> None:
        """One document, or the first of several, a line each (Ollama)."""
        line, line_end, _ = start.partition(b"\n")
        if not line_end and not self._is_over:
            return
        try:
            document = parse(line)
        except ValueError:  # a document over several lines
            self._begin("openai")
            return
        wire = wire_of(document)
        if not document or wire != "other":
            self._begin("openai" if wire == "other" else wire)
            return
        self._passing = LinePassing(self._tap.native, self._model)
        native = NativeEnd()
        self._fault = native.take(document)
        if self._fault is None and native.is_known and "done" not in document:
            self._fault = MISPLACED
        self._is_over = self._is_over or self._fault is not None

    def _decide_on_events(self) -> None:
        try:
            events = SseReader().feed(self._head)
        except EventTooLong:
            self._begin("openai")  # which says so
            return
        if events:
            wire: Wire = "openai" if events[0].document is None else wire_of(events[0].document)
            if wire == "other":
                self._passing = SsePassing(self._tap.native, self._model)
                self.content_type = SSE
            else:
                self._begin(wire)
        elif self._is_over:
            self._begin("openai")

    def _begin(self, wire: Wire) -> None:
        self._answer = self._tap.reader(wire)
        self._plain = PlainAnswer(wire, self._answer.chunks, self._model)
        self.content_type = SSE

    def _take(self, answer: AnswerReader, received: bytes) -> None:
        """An answer that is read here."""
        assert self._plain is not None, "made with its reader"
        events = answer.feed(received)
        if answer.is_over or self._is_over:
            self._is_over = True
            if not answer.chunks.is_broken:
                events = [*events, *answer.end()]
        said = []
        for event in events:
            if isinstance(event, Broken):
                self._fault = event.fault
            else:
                said.append(event)
        self._tap.events += said
        if said:
            self._ready.append(self._plain.piece(said))
        if self._is_over and self._fault is None:
            self._ready.append(self._plain.end())

    def _pass(self, passing: Passing, received: bytes) -> None:
        """An answer that LiteLLM translates."""
        if self._fault is not None:
            return
        passed = passing.feed(received)
        if self._is_over:
            passed += passing.end()
        self._fault = passing.fault
        if self._fault is None and (empty := self._tap.emptiness()) is not None:
            self._fault, passed = empty, b""  # LiteLLM must not see its end
        self._is_over = self._is_over or self._fault is not None
        if passed:
            self._ready.append(passed)


def _as_litellm(fault: ProviderFault) -> Exception:
    """What LiteLLM is told of an answer that breaks off."""
    from litellm.llms.base_llm.chat.transformation import BaseLLMException  # noqa: PLC0415  # see litellm_setup.py

    error: Exception = BaseLLMException(status_code=fault.status, message=fault.text or "the answer broke off")
    error.__dict__[FAULT] = fault
    return error
