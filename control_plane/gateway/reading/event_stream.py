"""Decodes messages of AWS's binary event stream from a provider's bytes, however the network cut them. Pure.

Each message: its length, that of its headers, a checksum of both; headers; payload; a checksum of all.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from control_plane.gateway.reading.json_text import parse

PRELUDE = struct.Struct(">III")
CHECKSUM = struct.Struct(">I")
STRING, BYTES = 7, 6
SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; the others begin with their length."""

MOST_BYTES = 32_000_000
"""Of one message."""


class BrokenEventStream(ValueError):
    """These bytes are no event stream."""


class EventMessage(NamedTuple):
    """A message. `headers` are the bytes of them all, `names` those of them that are text."""

    headers: bytes
    names: dict[str, str]
    payload: bytes
    raw: bytes

    @property
    def document(self) -> Any:
        """The event by its type, `{"messageStop": {…}}`, or a model's own event. None where it is no JSON."""
        try:
            content = parse(self.payload)
            if isinstance(content, dict) and isinstance(wrapped := content.get("bytes"), str):
                return parse(base64.b64decode(wrapped))
        except (ValueError, binascii.Error):
            return None
        return {self.names.get(":event-type", ""): content}

    @property
    def error(self) -> dict[str, Any] | None:
        """Its error report."""
        kind = self.names.get(":exception-type") or self.names.get(":error-code")
        if kind is None and self.names.get(":message-type") in (None, "event"):
            return None
        try:
            content = parse(self.payload)
        except ValueError:
            content = None
        said = content if isinstance(content, dict) else {}
        message = said.get("message") or said.get("Message") or self.names.get(":error-message") or ""
        return {"error": {"code": kind, "message": message, "status_code": said.get("originalStatusCode")}}

    def saying(self, document: Any, dump: Any) -> bytes:
        """The message with another document of the same kind."""
        content = document.get(self.names.get(":event-type", "")) if isinstance(document, dict) else None
        if content is None:
            content = {"bytes": base64.b64encode(dump(document)).decode()}
        return message_of(self.headers, dump(content))


class EventStreamReader:
    """Feed it bytes; it returns the messages that have become whole."""

    def __init__(self) -> None:
        self._kept = bytearray()

    @property
    def is_between(self) -> bool:
        """Whether no message is cut."""
        return not self._kept

    def feed(self, received: bytes) -> Iterator[EventMessage]:
        """The complete messages. Raises: BrokenEventStream, after the complete ones."""
        self._kept += received
        while len(self._kept) >= PRELUDE.size:
            length, headers_length, checksum = PRELUDE.unpack_from(self._kept)
            if zlib.crc32(self._kept[:8]) != checksum or length > MOST_BYTES or length < headers_length + 16:
                raise BrokenEventStream("not an event stream")
            if len(self._kept) < length:
                break
            raw = bytes(self._kept[:length])
            del self._kept[:length]
            if zlib.crc32(raw[:-4]) != CHECKSUM.unpack(raw[-4:])[0]:
                raise BrokenEventStream("a message of the event stream is damaged")
            headers = raw[12 : 12 + headers_length]
            yield EventMessage(headers, _names_of(headers), raw[12 + headers_length : -4], raw)


def message_of(headers: bytes, payload: bytes) -> bytes:
    """The bytes of a message."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = lengths + CHECKSUM.pack(zlib.crc32(lengths)) + headers + payload
    return whole + CHECKSUM.pack(zlib.crc32(whole))


def _names_of(headers: bytes) -> dict[str, str]:
    names: dict[str, str] = {}
    place = 0
    try:
        while place < len(headers):
            end = place + 1 + headers[place]
            name, kind = headers[place + 1 : end].decode("utf-8", "replace"), headers[end]
            place = end + 1
            if kind in (STRING, BYTES):
                (length,) = struct.unpack_from(">H", headers, place)
                place += 2
                if kind == STRING:
                    names[name] = headers[place : place + length].decode("utf-8", "replace")
                place += length
            else:
                place += SIZES[kind]
    except (IndexError, KeyError, struct.error):
        raise BrokenEventStream("a header of the event stream is damaged") from None
    return names
