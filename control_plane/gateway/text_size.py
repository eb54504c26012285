"""The most tokens of a text, by its bytes. Pure and fast: no tokenizer.

Ordinary letters are never one token each; two of them are, at worst, in text without meaning. Anything else can be a
token a byte: capitals, digits, signs, rare letters, and every byte of other alphabets. So text of words is counted at
little more than a token for two bytes, and denser text at up to a token for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LIKELY_BYTES_PER_TOKEN = 4
BYTES_PER_TOKEN = 2
"""Of ordinary letters and spaces, at worst."""
ORDINARY = b"abcdefghilmnoprstuy "
SHORT = 32
"""Bytes up to which all count as ordinary: what is added for every message covers the rest."""
SYNTAX = 4
"""Bytes around a name or a value in JSON: quotes, colon, comma."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of a text, and how many of them can be a token each."""

    bytes: int
    dense: int

    def __add__(self, other: "Size") -> "Size":
        return Size(self.bytes + other.bytes, self.dense + other.dense)

    def __mul__(self, times: int) -> "Size":
        return Size(self.bytes * times, self.dense * times)

    @property
    def worst_tokens(self) -> int:
        """The most tokens it can be."""
        dense = self.dense if self.bytes > SHORT else 0
        return dense + (self.bytes - dense) // BYTES_PER_TOKEN


def size_of(values: Iterable[Any]) -> Size:
    """The size of JSON values: of all strings in them, of the names, and of the signs between them. Not recursive: a value
    may be nested deeply.
    """
    signs = 0
    texts: list[str] = []
    waiting = list(values)
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            texts.append(item)
        elif item is None:
            continue
        elif isinstance(item, dict) or (not isinstance(item, list | tuple | int | float) and isinstance(item, Mapping)):
            signs += 2 * SYNTAX * len(item)
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            signs += SYNTAX * len(item)
            waiting.extend(item)
        else:
            texts.append(str(item))
    data = "".join(texts).encode("utf-8", "surrogatepass")  # at once: a conversation has thousands
    return Size(signs + len(data), len(data.translate(None, ORDINARY)))
