"""The data of a stream's events. Lines end at CR, LF or both, and nowhere else: U+2028 and U+0085 are text of a model."""

import asyncio
from collections.abc import AsyncIterator

import httpx

LONGEST_LINE_BYTES = 64_000_000
"""The server's own largest event, twice: a picture is one line."""

DATA = b"data:"


class LineTooLong(Exception):
    """A line does not end."""


class LineReader:
    """Feed it bytes, however the network cut them; it returns the lines that have become whole."""

    def __init__(self, longest: int = LONGEST_LINE_BYTES) -> None:
        self._longest = longest
        self._begun: list[bytes] = []
        self._length = 0
        self._ended_in_cr = False

    def feed(self, received: bytes) -> list[bytes]:
        """The complete events. Raises: LineTooLong."""
        if not received:
            return []
        if self._ended_in_cr:
            received = received.removeprefix(b"\n")
        self._ended_in_cr = received.endswith(b"\r")
        first, *lines = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._keep(first)
        if not lines:
            return []
        lines.insert(0, self.rest())
        self._keep(lines.pop())
        return lines

    def rest(self) -> bytes:
        """The unfinished rest."""
        line = b"".join(self._begun)
        self._begun.clear()
        self._length = 0
        return line

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > self._longest:
            raise LineTooLong(f"a line of more than {self._longest} bytes")
        if part:
            self._begun.append(part)


async def events(response: httpx.Response, *, stall_s: float) -> AsyncIterator[bytes]:
    """The data of each event. Comments, which keep the connection alive, are none.

    Raises: TimeoutError when none comes for `stall_s`, LineTooLong, httpx.RequestError.
    """
    pieces, lines = response.aiter_bytes(), LineReader()
    while found := await _next(pieces, lines, stall_s):
        for data in found:
            yield data


async def _next(pieces: AsyncIterator[bytes], lines: LineReader, stall_s: float) -> list[bytes]:
    """One or more; none at the end. The time in which the caller does something else does not count."""
    async with asyncio.timeout(stall_s):
        async for piece in pieces:
            if found := _data(lines.feed(piece)):
                return found
        return _data([lines.rest()])


def _data(lines: list[bytes]) -> list[bytes]:
    return [line.removeprefix(DATA).removeprefix(b" ") for line in lines if line.startswith(DATA)]
