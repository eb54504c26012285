"""Server-sent events out of the bytes of a provider, however the network cut them. Pure.

Providers put one JSON document into one `data:` line; comments, event names and ids say nothing that is needed.
"""

MAX_LINE_BYTES = 32_000_000


class LineTooLong(ValueError):
    """A provider sent a line without an end."""


class SseReader:
    """Feed it bytes; it returns the `data:` of each line that has come to its end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def feed(self, received: bytes) -> list[bytes]:
        """What has become whole. Raises: LineTooLong."""
        if b"\r" in received:
            received = received.replace(b"\r", b"\n")  # a line may end in any of the three ways
        if b"\n" not in received:
            self._keep(received)
            return []
        first, *lines = received.split(b"\n")
        self._keep(first)
        whole = b"".join(self._parts)
        self._parts = []
        self._length = 0
        self._keep(lines.pop())
        return [line[5:].strip() for line in (whole, *lines) if line.startswith(b"data:")]

    def rest(self) -> list[bytes]:
        """What a provider said in a last line that it did not end."""
        return self.feed(b"\n")

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > MAX_LINE_BYTES:
            raise LineTooLong(f"a line of more than {MAX_LINE_BYTES} bytes")
        self._parts.append(part)
