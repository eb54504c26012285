"""A provider that answers with the bytes it is given, cut as it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

TRICKLE_S = 0.01


@dataclass
class RawProvider:
    """Set `pieces` before each request. `is_dropped`: the connection breaks behind them; `trickle`: that is sent behind
    them again and again, until the connection is closed, which `left` says.
    """

    port: int = 0
    pieces: Sequence[bytes] = ()
    content_type: str = "text/event-stream"
    is_dropped: bool = False
    trickle: bytes = b""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

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
        async for _ in request.content.iter_any():
            pass  # its body is not kept: tests look for who keeps it
        self.asked.set()
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        while self.trickle:
            try:
                await response.write(self.trickle)
            except ConnectionError:
                self.left.set()
                raise
            await asyncio.sleep(TRICKLE_S)
        if self.is_dropped:
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write_eof()
        return response
