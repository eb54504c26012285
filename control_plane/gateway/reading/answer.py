"""Reads one answer of a provider of OpenAI's wire from its bytes: a stream or one document, whichever was requested.
Pure.

Providers answer a request for a stream with JSON, and a buffered one with a stream. The first byte tells the two apart,
so both are read the same way, and a whole answer is the fold of its events.
"""

from control_plane.completion.events import Broken, Event, ProviderFault
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.reading.faults import find_fault
from control_plane.gateway.reading.json_text import parse
from control_plane.gateway.reading.sse import BOM, DONE, EventTooLong, SseReader

MAX_BODY_BYTES = 64_000_000
"""Of one document, unless a setting overrides it. Larger answers are failed calls."""

STREAMED = 4
"""The factor for a stream: every chunk repeats most of its fields."""

BROKEN_OFF = ProviderFault(500, text="the stream ended before the provider finished the answer")
NO_ANSWER = ProviderFault(500, text="not an answer")
TOO_LARGE = ProviderFault(500, text="the answer is too large")

BLANK = b" \t\r\n"


class AnswerReader:
    """Feed it the bytes of an answer whose status is good, then `end()` it. Nothing follows a Broken."""

    def __init__(self, chunks: ChunkReader, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        """`chunks`: takes the documents of the answer. `max_bytes`: of one document; of a stream, `STREAMED` times that."""
        self.chunks = chunks
        self._max_bytes = max_bytes
        self._sse: SseReader | None = None
        self._body: list[bytes] | None = None
        self._head = b""
        self._length = 0
        self.is_done = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read: the provider ended the answer or broke off."""
        return self.is_done or self.chunks.is_broken

    def feed(self, received: bytes) -> list[Event]:
        """The events that have become whole."""
        if self.is_over or not received:
            return []
        self._length += len(received)
        if self._length > self._max_bytes * (1 if self._body is not None else STREAMED):
            return [self.chunks.broken(TOO_LARGE)]
        if self._sse is not None:
            return self._take(self._sse, received)
        if self._body is None:
            received = (self._head + received).removeprefix(BOM).lstrip(BLANK)
            start, self._head = received, b""
            if BOM.startswith(received):  # nothing yet, or a mark that the network cut
                self._head = received
                return []
            if not start.startswith((b"{", b"[", b"<")):
                self._sse = SseReader()
                return self._take(self._sse, received)
            self._body = []
        self._body.append(received)
        return [self.chunks.broken(TOO_LARGE)] if self._length > self._max_bytes else []

    def end(self) -> list[Event]:
        """The rest at the end of the bytes. Broken, where the answer is incomplete."""
        if self.chunks.is_broken:
            return []
        events: list[Event] = []
        if self._body is not None:
            events += self._document(b"".join(self._body))
        elif self._sse is not None and not self.is_done:
            events += self._take(self._sse, None)
        return events if any(isinstance(event, Broken) for event in events) else [*events, *self._close()]

    def _close(self) -> list[Event]:
        if self._body is None and not self.is_done and not self.chunks.has_finish:
            return [self.chunks.broken(NO_ANSWER if self._sse is None else BROKEN_OFF)]
        return self.chunks.end()

    def _take(self, reader: SseReader, received: bytes | None) -> list[Event]:
        try:
            read = reader.rest() if received is None else reader.feed(received)
        except EventTooLong:
            return [self.chunks.broken(TOO_LARGE)]
        events: list[Event] = []
        for event in read:
            if event.document is None and event.data == DONE:
                self.is_done = True
                break
            is_error = event.name == "error"
            document = event.document
            if document is None:
                document = event.data.decode("utf-8", "replace") if is_error else ""
            events += self.chunks.take(document, is_error=is_error)
            if self.chunks.is_broken:
                break
        return events

    def _document(self, body: bytes) -> list[Event]:
        """A whole answer, or several chunks of one, a line each."""
        try:
            documents = [parse(body)]
        except ValueError:
            try:
                documents = [parse(line) for line in body.splitlines() if line.strip()]
            except ValueError:
                return [self.chunks.broken(ProviderFault(500, text=body[:2000].decode("utf-8", "replace")))]
        events: list[Event] = []
        if not any(self.chunks.is_answer(document) for document in documents):
            fault = next(
                (found for document in documents if (found := find_fault(document, is_certain=True))), NO_ANSWER
            )
            return [self.chunks.broken(fault)]
        for document in documents:
            events += self.chunks.take(document)
        return events
