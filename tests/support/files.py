"""A web server on loopback with files on it, some of them traps."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from control_plane.fetching.fetcher import look_up

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Files:
    """`/files/NAME` are files; the rest does harm. Remembers what it was asked for, and by which `Host`."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def start(cls, files: Mapping[str, bytes] | None = None) -> AsyncIterator[Self]:
        server = cls(files=dict(files or {}))

        @web.middleware
        async def remember(request: web.Request, handler: Handler) -> web.StreamResponse:
            server.asked.append((request.host, request.path))
            return await handler(request)

        app = web.Application(middlewares=[remember])
        app.router.add_get("/files/{name}", server.file)
        app.router.add_get("/to", server.redirect)
        app.router.add_get("/loop/{turn}", server.loop)
        app.router.add_get("/status/{status}", server.status)
        app.router.add_get("/slow", server.slow)
        app.router.add_get("/drip", server.drip)
        app.router.add_get("/endless", server.endless)
        app.router.add_get("/announced", server.announced)
        app.router.add_get("/packed", server.packed)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.port = runner.addresses[0][1]
            yield server
        finally:
            await runner.cleanup()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}/{path}"

    async def file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["name"]], content_type="application/octet-stream")

    async def redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["url"]})

    async def loop(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"/loop/{int(request.match_info['turn']) + 1}"})

    async def status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]), text="%PDF-1.4 secret page of an error")

    async def slow(self, _request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"%")
            await asyncio.sleep(0.05)

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"%PDF-1.4\n")
        while True:
            await response.write(b"\0" * 100_000)

    async def announced(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100000000"})
        await response.prepare(request)
        await response.write(b"%PDF-1.4\n")
        await asyncio.Event().wait()
        return response

    async def packed(self, _request: web.Request) -> web.Response:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        body = packer.compress(b"%PDF-1.4\n" + b"\0" * 50_000_000) + packer.flush()
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})


class Names:
    """A name server that says what the test wants, each time another thing if it wants."""

    def __init__(self, **answers: list[Sequence[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        left = self.answers.get(host.replace(".", "_"))
        if left is None:
            return await look_up(host, port)
        return left.pop(0) if len(left) > 1 else left[0]
