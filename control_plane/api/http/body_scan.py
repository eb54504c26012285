"""Estimates the objects of a JSON body from its bytes as they arrive: text, values, depth. Pure.

Objects take many times the memory of their text, and making them blocks the process. So a body with too many is
rejected before it is parsed, and before the rest of it is read. Every step is one search through a piece of a body: the
time is that of a few copies of it. It does not check the JSON; the parser does.
"""

import re
from dataclasses import dataclass
from itertools import accumulate

LONG = 1024
"""Bytes of a string, or of what a piece holds of one, from which it can be a file's data."""
DATA = b"data:"
DATA_URL = re.compile(rb"data:[^,]{0,200},")
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\\"
"""The signs of base64, both alphabets; the backslash is that of escaped slashes and line ends."""
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
CONTINUED = bytes(range(0x80, 0xC0))
"""Continuation bytes of UTF-8."""
ESCAPED_UNIT = len(rb"\u0000") - 1
"""Bytes of an escaped character beyond one."""
STEPS = {sign: 1 if sign in b"[{" else -1 for sign in b"[]{}"}


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The most that a body may hold: characters beside the data of files, values, levels of nesting."""

    chars: int
    values: int
    depth: int


class BodyScan:
    """Feed it the pieces of one body. `values`: of objects and lists; `texts`: strings and names of members."""

    def __init__(self) -> None:
        self.chars = 0
        self.values = 0
        self.texts = 0
        self.depth = 0
        self._level = 0
        self._is_in_text = False
        self._is_data = False
        self._rest = b""

    def take(self, piece: bytes) -> None:
        """The next piece, which may end anywhere."""
        piece, self._rest = _without_open_escape(self._rest + piece)
        parts = _without_escaped_quotes(piece).split(b'"')
        first = 0 if self._is_in_text else 1
        self._count(b"".join(parts[1 - first :: 2]))
        texts = parts[first::2]
        if not texts:
            return
        self.texts += len(texts) - self._is_in_text
        goes_on = self._is_in_text
        self._is_in_text = (len(parts) - 1 - first) % 2 == 0
        if goes_on and len(texts[0]) >= LONG:
            self._add_long(texts[0], is_data=self._is_data)
        self.chars += sum(map(len, texts)) - (len(texts[0]) if goes_on and len(texts[0]) >= LONG else 0)
        for text in texts[1:] if goes_on else texts:
            if len(text) >= LONG:
                self.chars -= len(text)
                self._add_long(text, is_data=text.startswith(DATA))
        if self._is_in_text and not (goes_on and len(texts) == 1):
            self._is_data = texts[-1].startswith(DATA)

    def is_within(self, limits: BodyLimits) -> bool:
        """Whether the body has not become too large yet."""
        return (
            self.chars <= limits.chars
            and self.values <= limits.values
            and self.texts <= 2 * limits.values
            and self.depth <= limits.depth
        )

    def _count(self, outside: bytes) -> None:
        self.chars += len(outside)
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        brackets = outside.translate(None, NOT_BRACKETS)
        if brackets:
            levels = list(accumulate(map(STEPS.__getitem__, brackets), initial=self._level))
            self.depth = max(self.depth, *levels)
            self._level = levels[-1]

    def _add_long(self, text: bytes, *, is_data: bool) -> None:
        """Much of a string, or all of it."""
        if is_data and (prefix := DATA_URL.match(text)):
            text = text[prefix.end() :]
        is_of_file = not text.translate(None, BASE64) or (is_data and b" " not in text[:LONG])
        self.chars += 0 if is_of_file else _characters(text)


def _without_open_escape(piece: bytes) -> tuple[bytes, bytes]:
    """The piece, and the backslash at its end whose character is still to come."""
    backslashes = len(piece) - len(piece.rstrip(b"\\"))
    return (piece[:-1], b"\\") if backslashes % 2 else (piece, b"")


def _without_escaped_quotes(piece: bytes) -> bytes:
    return piece.replace(b"\\\\", b"  ").replace(b'\\"', b"  ") if b"\\" in piece else piece


def _characters(text: bytes) -> int:
    """Characters of a string in JSON; an escape of one character counts as two."""
    length = len(text) if text.isascii() else len(text.translate(None, CONTINUED))
    return length - ESCAPED_UNIT * text.count(b"\\u")
