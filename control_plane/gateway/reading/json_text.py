"""Parses JSON of providers: surrogate halves, invalid UTF-8 and NaN included. Pure."""

import json
import math
from typing import Any

import orjson

REPLACEMENT = "\ufffd"


def parse(data: bytes) -> Any:
    """The value. Strings may hold lone surrogates (see `Halves`). Raises: ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return parse_loosely(data)


def parse_loosely(data: bytes) -> Any:
    """As `parse`, for what orjson refuses. Raises: ValueError."""
    try:
        return json.loads(data.decode("utf-8-sig", "replace"), strict=False)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def whole_text(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def whole_json(value: Any) -> Any:
    """JSON data with every text whole."""
    match value:
        case str():
            return whole_text(value)
        case list():
            return [whole_json(item) for item in value]
        case dict():
            return {whole_text(str(key)): whole_json(item) for key, item in value.items()}
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


class Halves:
    """Joins surrogate pairs that a provider cut between two pieces of one text."""

    def __init__(self) -> None:
        self._first: dict[object, str] = {}

    def join(self, text: str, channel: object) -> str:
        """The piece as far as it is whole; a first half at its end waits for the next piece of the same channel."""
        if self._first and (first := self._first.pop(channel, "")):
            text = first + text
        elif text.isascii():
            return text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._first[channel] = text[-1]
            text = text[:-1]
        return whole_text(text)

    def rest(self, channel: object) -> str:
        """A replacement for a half whose other half never came."""
        return REPLACEMENT if self._first and self._first.pop(channel, "") else ""
