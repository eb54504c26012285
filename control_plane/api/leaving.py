"""Noticing a client that leaves while its answer has not begun: nobody reads the socket for a route that only waits."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio
from fastapi import Request

T = TypeVar("T")


class ClientLeft(Exception):
    """The client closed the connection; there is nobody to answer."""


async def unless_client_leaves(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves first. Raises: ClientLeft.

    Cancelled through a scope: `task.cancel()` would go through the shields around what must not be left half done, as
    between a call's durable intent and its record. The body must have been read before.
    """
    with anyio.CancelScope() as scope:
        watching = asyncio.create_task(_cancel_when_left(request, scope))
        try:
            return await work
        finally:
            watching.cancel()
    raise ClientLeft


async def _cancel_when_left(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
