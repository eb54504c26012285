"""Finds the end of a JSON object or array that arrives in pieces. Pure; linear: each piece is scanned once."""

import re

SIGNS = re.compile(r'["\\{}\[\]]')


class JsonEnd:
    """Takes a text in pieces. It does not check the JSON: it only reports when calling a parser can be worthwhile."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_in_text = False
        self._is_escaped = False
        self._is_closed = False
        self._is_more = False

    def take(self, piece: str) -> None:
        """The next piece."""
        if self._is_more or not piece:
            return
        end = 0 if self._is_closed else self._scan(piece)
        if self._is_closed and piece[end:].strip():
            self._is_more = True

    @property
    def is_reached(self) -> bool:
        """Whether the first object or array is closed and only blanks follow it."""
        return self._is_closed and not self._is_more

    def _scan(self, piece: str) -> int:
        """The end of the object in the piece, if any."""
        escaped = 0 if self._is_escaped else -1
        self._is_escaped = False
        for found in SIGNS.finditer(piece):
            place, sign = found.start(), found[0]
            if place == escaped:
                continue
            if self._is_in_text:
                if sign == "\\":
                    escaped = place + 1
                elif sign == '"':
                    self._is_in_text = False
            elif sign == '"':
                self._is_in_text = True
            elif sign in "{[":
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    self._is_closed = True
                    return place + 1
        self._is_escaped = escaped == len(piece)
        return len(piece)
