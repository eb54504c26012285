"""A provider that answers with the bytes it is given, cut as it is told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from aiohttp import web


@dataclass
class RawProvider:
    """Set `pieces` before each request. `is_dropped`: the connection breaks behind them."""

    port: int = 0
    pieces: Sequence[bytes] = ()
    content_type: str = "text/event-stream"
    is_dropped: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        provider = cls()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", provider.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            provider.port = runner.addresses[0][1]
            yield provider
        finally:
            await runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        if self.is_dropped:
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write_eof()
        return response
