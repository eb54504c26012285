"""Streams that LiteLLM translates, on their way to it: read in parallel, and rewritten so that LiteLLM can read them.
Pure.

LiteLLM calculates with any count in a document, prices an answer by the name it has itself, and takes U+2028 for the
end of a line. Only an incomplete document is held back.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import orjson

from control_plane.completion.events import ProviderFault
from control_plane.gateway.reading.answer import BROKEN_OFF, TOO_LARGE
from control_plane.gateway.reading.event_stream import BrokenEventStream, EventMessage, EventStreamReader
from control_plane.gateway.reading.faults import find_fault
from control_plane.gateway.reading.json_text import parse
from control_plane.gateway.reading.native import NativeEnd
from control_plane.gateway.reading.native_usage import with_true_counts
from control_plane.gateway.reading.sse import EventTooLong, SseEvent, SseReader

LINE_ENDS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")
"""U+2028, U+2029 and U+0085, which Python takes for ends of lines."""

MOST_LINE = 32_000_000
"""Bytes of a line."""


class Passing(ABC):
    """Feed it the bytes of a stream; it returns those for LiteLLM. `fault`: why nothing more follows."""

    def __init__(self, native: NativeEnd, model: str) -> None:
        """`native`: reads the end and the usage. `model`: the requested name."""
        self.fault: ProviderFault | None = None
        self._native = native
        self._model = model

    def feed(self, received: bytes) -> bytes:
        """The pieces that have become whole."""
        return self._guarded(received)

    def end(self) -> bytes:
        """The rest at the end of the bytes."""
        return b"" if self.fault is not None else self._guarded(None)

    def _guarded(self, received: bytes | None) -> bytes:
        try:
            return self._pass(received)
        except EventTooLong:
            self.fault = TOO_LARGE
        return b""

    @abstractmethod
    def _pass(self, received: bytes | None) -> bytes:
        """As feed; None: nothing more comes."""

    def _read(self, document: Any, *, is_error: bool = False) -> Any:
        """Reads a document; returns it as LiteLLM gets it."""
        self.fault = self._native.take(document, is_error=is_error)
        return for_litellm(document, self._model)


class SsePassing(Passing):
    """Server-sent events."""

    def __init__(self, native: NativeEnd, model: str) -> None:
        super().__init__(native, model)
        self._reader = SseReader()

    def _pass(self, received: bytes | None) -> bytes:
        written: list[bytes] = []
        for event in self._reader.rest() if received is None else self._reader.feed(received):
            written.append(self._event(event))
            if self.fault is not None:
                written.pop()
                break
        return b"".join(written)

    def _event(self, event: SseEvent) -> bytes:
        is_error = event.name == "error"
        if event.document is not None:
            data = dumped(self._read(event.document, is_error=is_error))
        else:
            data = event.data.replace(b"\n", b"\ndata: ")
            if is_error:
                self.fault = find_fault(event.data.decode("utf-8", "replace"), is_certain=True)
        name = f"event: {event.name}\n".encode() if event.name else b""
        return name + b"data: " + data + b"\n\n"


class LinePassing(Passing):
    """Documents of JSON, one a line, as Ollama's."""

    def __init__(self, native: NativeEnd, model: str) -> None:
        super().__init__(native, model)
        self._kept: list[bytes] = []
        self._length = 0

    def _pass(self, received: bytes | None) -> bytes:
        last = b"\n" if received is None else received
        head, line_end, tail = last.rpartition(b"\n")
        self._kept.append(head + line_end if line_end else last)
        self._length += len(last)
        if self._length > MOST_LINE:
            raise EventTooLong
        if not line_end:
            return b""
        lines = b"".join(self._kept).split(b"\n")
        self._kept, self._length = [tail], len(tail)
        written = []
        for line in lines:
            if line.strip():
                written.append(self._line(line) + b"\n")
            if self.fault is not None:
                return b"".join(written[:-1])
        return b"".join(written)

    def _line(self, line: bytes) -> bytes:
        try:
            document = parse(line)
        except ValueError:
            return line
        return dumped(self._read(document))


class FramePassing(Passing):
    """AWS's binary event stream."""

    def __init__(self, native: NativeEnd, model: str) -> None:
        super().__init__(native, model)
        self._reader = EventStreamReader()

    def _pass(self, received: bytes | None) -> bytes:
        if received is None:
            if not self._reader.is_between and self._native.said is None:
                self.fault = BROKEN_OFF
            return b""
        written = []
        try:
            for message in self._reader.feed(received):
                passed = self._message(message)
                if self.fault is not None:
                    break
                written.append(passed)
        except BrokenEventStream as error:
            self.fault = ProviderFault(500, text=str(error))
        return b"".join(written)

    def _message(self, message: EventMessage) -> bytes:
        if message.error is not None:
            self.fault = find_fault(message.error)
            return b""
        document = message.document
        if document is None:
            return message.raw
        passed = self._read(document)
        return message.raw if passed is document else message.saying(passed, dumped)


def for_litellm(document: Any, model: str) -> Any:
    """The document without impossible counts, under the requested model's name: an answer under another name has the
    price of that one.
    """
    if not isinstance(document, dict):
        return document
    document = with_true_counts(document)
    if model:
        document = _renamed(document, model)
        if isinstance(inner := document.get("message"), dict) and (renamed := _renamed(inner, model)) is not inner:
            document = {**document, "message": renamed}
    return document


def _renamed(document: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    names = [name for name in ("model", "modelVersion") if document.get(name) not in (None, model)]
    return {**document, **dict.fromkeys(names, model)} if names else document


def dumped(document: Any) -> bytes:
    """The document as JSON in one line, whatever takes what for the end of one."""
    try:
        written = orjson.dumps(document)
    except TypeError:  # surrogate halves, integers of more than 64 bits
        return json.dumps(document).encode()
    if written.isascii() or not any(end in written for end in LINE_ENDS):
        return written
    return json.dumps(document).encode()
