"""The body of a request on its way to a provider. A large one is there until it is sent: a provider may take minutes to
answer, and a process has hundreds of calls that wait for theirs.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx

LARGE_BYTES = 262_144
PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What aiohttp is given."""

    headers: Mapping[str, str]
    data: bytes | AsyncIterator[bytes]


def outgoing(body: bytes, headers: Mapping[str, str]) -> Outgoing:
    """A body, which the caller does not keep."""
    if len(body) < LARGE_BYTES:
        return Outgoing(headers, body)
    return Outgoing({**headers, "Content-Length": str(len(body))}, _pieces(body))


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """As the provider takes them. aiohttp keeps the iterator until the answer ends, which holds nothing by then."""
    for begin in range(0, len(body), PIECE_BYTES):
        yield body[begin : begin + PIECE_BYTES]


def forget_body(request: httpx.Request) -> None:
    """Of a request that has been sent. LiteLLM's objects refer to it, in circles, until the collector comes by; its retries
    make a request of their own.
    """
    request.stream, request._content = httpx.ByteStream(b""), b""  # noqa: SLF001  # there is no other way
