"""What a client's disconnect does. Before a stream's first event the handler is cancelled here, since a route that only
waits does not read the socket; `calls/failures.py` records the call, with its prompt once the provider has it. During a
stream `sse.py` notices it, and `abandon` of `calls/stream.py` records what was delivered. A buffered call runs to its
end and is recorded as usual (D18).
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio
from fastapi import Request
from starlette.types import Receive

T = TypeVar("T")


class ClientDisconnected(Exception):
    """The client closed the connection; no response can be sent."""


async def cancel_on_disconnect(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves first. Raises: ClientDisconnected.

    Cancelled through a scope: `task.cancel()` would go through the shields around what must not be left half done, as
    between a call's durable intent and its record. The body must have been read before.
    """
    with anyio.CancelScope() as scope:
        watching = asyncio.create_task(cancel_when_disconnected(request.receive, scope))
        try:
            return await work
        finally:
            watching.cancel()
    raise ClientDisconnected


async def cancel_when_disconnected(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancels the scope when the client has left. The body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
