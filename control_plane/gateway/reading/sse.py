"""Server-sent events out of a provider's bytes, however the network cut them, by the WHATWG standard. Pure.

Two liberties, for providers that do not follow it: a line of data that is JSON by itself is an event without waiting for
the empty line behind it, and what stands in a last event without an end counts.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from control_plane.gateway.reading.json_text import parse_loosely

MAX_EVENT_BYTES = 32_000_000

DONE = b"[DONE]"
BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """A provider sent an event, or a line, without an end."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """An event: its name, its data as bytes, and as JSON (`document`; None where it is none)."""

    name: str
    data: bytes
    document: Any = None


class SseReader:
    """Feed it bytes; it returns the events that have become whole."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._length = 0
        self._data: list[bytes] = []
        self._name = ""
        self._ended_in_cr = False
        self._is_begun = False

    def feed(self, received: bytes) -> list[SseEvent]:
        """What has become whole. Raises: EventTooLong."""
        if not self._is_begun and received:
            self._is_begun = True
            received = received.removeprefix(BOM)
        if self._ended_in_cr and received.startswith(b"\n"):
            received = received[1:]
            self._ended_in_cr = False
        if not received:
            return []
        if b"\r" in received:
            self._ended_in_cr = received.endswith(b"\r")
            received = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._ended_in_cr = False
        first, *lines = received.split(b"\n")
        self._keep(first)
        if not lines:
            return []
        line = b"".join(self._line)
        self._line.clear()
        last = lines.pop()
        events: list[SseEvent] = []
        for each in (line, *lines):
            self._take(each, events)
        self._length = sum(map(len, self._data))
        self._keep(last)
        return events

    def rest(self) -> list[SseEvent]:
        """What a provider wrote in a last event that it did not end."""
        events = self.feed(b"\n")
        self._dispatch(events)
        return events

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event of more than {MAX_EVENT_BYTES} bytes")
        if part:
            self._line.append(part)

    def _take(self, line: bytes, events: list[SseEvent]) -> None:
        if line.startswith(b"data:"):
            self._take_data(line[6:] if line[5:6] == b" " else line[5:], events)
        elif not line:
            self._dispatch(events)
        elif line == b"data":
            self._take_data(b"", events)
        elif line.startswith(b"event:"):
            self._name = line[6:].strip().decode("utf-8", "replace")

    def _take_data(self, data: bytes, events: list[SseEvent]) -> None:
        if len(self._data) == 1 and (before := _document(self._data[0])) is not None:
            events.append(SseEvent(self._name, self._data.pop(), before))
        if self._data:
            self._data.append(data)
        elif data.strip() == DONE:
            events.append(SseEvent(self._name, DONE))
        else:
            try:
                events.append(SseEvent(self._name, data, orjson.loads(data)))
            except orjson.JSONDecodeError:
                self._data.append(data)

    def _dispatch(self, events: list[SseEvent]) -> None:
        name, self._name = self._name, ""
        if not self._data:
            return
        data = b"\n".join(self._data)
        self._data.clear()
        if data.strip() == DONE:
            events.append(SseEvent(name, DONE))
        elif data.strip():
            events.append(SseEvent(name, data, _document(data)))


def _document(data: bytes) -> Any:
    try:
        return parse_loosely(data)
    except ValueError:
        return None
