"""Raw HTTP/1.1 for the load generator: a request is bytes made beforehand, a reply is timed and hardly parsed.

A client library would take more of the machine than the servers under test.
"""

import asyncio
import json
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Self, cast

from tests.load.bench.provider import WORD

FIRST = WORD.encode()  # a chunk before it names a role and says nothing


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Times are `perf_counter` seconds; `first_at`: the first word of the answer was there."""

    status: int
    body: bytes
    started_at: float
    first_at: float
    done_at: float
    retry_after_s: float = 0.0

    def json(self) -> Any:
        """The body of a buffered answer."""
        return json.loads(self.body)


def post(path: str, body: Any, *, key: str = "") -> bytes:
    """A whole request."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
    )
    return (head + (f"authorization: Bearer {key}\r\n" if key else "") + "\r\n").encode() + content


def get(path: str) -> bytes:
    """A whole request."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._until: bytes | None = None
        self._started_at = self._first_at = 0.0
        self._body_at = 0
        self._length: int | None = None

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connects. Raises: OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def call(self, request: bytes, *, until: bytes | None = None) -> Reply:
        """The whole answer, or the part of a stream that ends with `until`. Raises: ConnectionError."""
        assert self._transport is not None
        self._buffer.clear()
        self._body_at, self._first_at, self._until = 0, 0.0, until
        self._reply = asyncio.get_running_loop().create_future()
        self._started_at = perf_counter()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        """Leaves, whatever is still to come."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps where to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class, not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the one who waits."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Collects; answers when the reply is whole."""
        self._buffer += data
        if not self._body_at:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self._body_at = head_end + 4
            length = self._buffer[:head_end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._length = int(length) if length else None
        if not self._first_at and self._buffer.find(FIRST, self._body_at) >= 0:
            self._first_at = perf_counter()
        if self._is_whole() and self._reply is not None and not self._reply.done():
            now = perf_counter()
            body = bytes(self._buffer[self._body_at :])
            self._reply.set_result(
                Reply(
                    int(self._buffer[9:12]), body, self._started_at, self._first_at or now, now, self._retry_after_s()
                ),
            )

    def _retry_after_s(self) -> float:
        after = self._buffer[: self._body_at].lower().partition(b"retry-after:")[2].partition(b"\r\n")[0]
        return float(after) if after else 0.0

    def _is_whole(self) -> bool:
        if self._until is not None and self._buffer.count(self._until):
            return True
        if self._length is not None:
            return len(self._buffer) >= self._body_at + self._length
        return self._buffer.endswith(b"\r\n0\r\n\r\n")
