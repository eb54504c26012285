"""A client that asks many times at once and costs little itself: one pool of httpx looks through all its connections for
every request, which for a thousand of them takes longer than the server does.
"""

import itertools

import httpx

from tests.support.server import TLS

POOLS = 25


class ManyPools(httpx.AsyncBaseTransport):
    """As many connections as there are requests, in pools that take turns."""

    def __init__(self) -> None:
        # a connection that the server is about to close for being idle would lose a request on its way
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=1)
        self._pools = [httpx.AsyncHTTPTransport(limits=limits, verify=TLS) for _ in range(POOLS)]
        self._turns = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()
