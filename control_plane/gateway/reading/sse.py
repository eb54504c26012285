"""Decodes server-sent events from a provider's bytes, however the network cut them, by the WHATWG standard. Pure.

Two liberties, for providers that do not follow it: a line of data that is JSON by itself is an event without waiting
for the empty line behind it, and a last event without an end counts.
"""

from typing import Any, NamedTuple

import orjson

from control_plane.gateway.reading.json_text import parse_loosely

MAX_EVENT_BYTES = 32_000_000

DONE = b"[DONE]"
BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """A provider sent an event, or a line, without an end."""


class SseEvent(NamedTuple):
    """An event: its name, its data as JSON (`document`; None where it is none) or else as bytes."""

    name: str
    document: Any
    data: bytes = b""


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
        """The complete events. Raises: EventTooLong."""
        if not self._is_begun and received:
            self._is_begun = True
            received = received.removeprefix(BOM)
        if self._ended_in_cr or b"\r" in received:
            received = self._with_line_feeds(received)
        lines = received.split(b"\n")
        last = lines.pop()
        if not lines:
            self._keep(last)
            return []
        events: list[SseEvent] = []
        if self._line:
            self._keep(lines[0])
            lines[0] = b"".join(self._line)
            self._line.clear()
        for line in lines:
            if line:
                self._take(line, events)
            elif self._data:
                self._dispatch(events)
            else:
                self._name = ""
        self._length = 0
        if last or self._data:
            self._length = sum(map(len, self._data))
            self._keep(last)
        return events

    def _with_line_feeds(self, received: bytes) -> bytes:
        """The bytes with one kind of line end; a pair that the network cut is one end."""
        if self._ended_in_cr and received.startswith(b"\n"):
            received = received[1:]
        self._ended_in_cr = received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def rest(self) -> list[SseEvent]:
        """A last event without an end."""
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
            data = line[6:] if line[5:6] == b" " else line[5:]
            if self._data:
                self._go_on(data, events)
                return
            try:
                events.append(SseEvent(self._name, orjson.loads(data)))
            except orjson.JSONDecodeError:
                if data.strip() == DONE:
                    events.append(SseEvent(self._name, None, DONE))
                else:
                    self._data.append(data)
        elif not line:
            self._dispatch(events)
        elif line == b"data":
            self._data.append(b"")
        elif line.startswith(b"event:"):
            self._name = line[6:].strip().decode("utf-8", "replace")

    def _go_on(self, data: bytes, events: list[SseEvent]) -> None:
        """One more line of an event; or, where the one before is complete by itself, the next event."""
        if len(self._data) == 1 and (before := _document(self._data[0])) is not None:
            self._data.clear()
            events.append(SseEvent(self._name, before))
            self._take(b"data:" + data, events)
        else:
            self._data.append(data)

    def _dispatch(self, events: list[SseEvent]) -> None:
        name, self._name = self._name, ""
        if not self._data:
            return
        data = b"\n".join(self._data).strip()
        self._data.clear()
        if data == DONE:
            events.append(SseEvent(name, None, DONE))
        elif data:
            events.append(SseEvent(name, _document(data), data))


def _document(data: bytes) -> Any:
    try:
        return parse_loosely(data)
    except ValueError:
        return None
