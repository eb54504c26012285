"""The network between a replica and its Postgres, which can swallow everything: nobody gets a FIN, as when a host vanishes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import make_url


class SilentProxy:
    """Forwards to the Postgres of a URL until it is silent. Connections made while it is silent stay so for ever."""

    def __init__(self, url: str) -> None:
        self._socket = f"{make_url(url).query['host']}/.s.PGSQL.5432"
        self._database = make_url(url).database
        self._trigger: bytes | None = None
        self._is_silent = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.silent = asyncio.Event()
        self.url = ""

    def go_silent_behind(self, statement: bytes) -> None:
        """Forwards the statement that has these bytes, and nothing from then on."""
        self._trigger = statement

    def forward_again(self) -> None:
        """What is connected from now on is forwarded; what was connected before stays silent."""
        self._is_silent = False
        self.silent.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SilentProxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{self._database}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        is_alive = [not self._is_silent]
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, server_writer, is_alive, is_request=True))
                both.create_task(self._forward(server_reader, writer, is_alive, is_request=False))
        finally:
            for each in (writer, server_writer):
                each.close()

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_alive: list[bool], *, is_request: bool
    ) -> None:
        while True:
            piece = await source.read(65536)
            is_alive[0] = is_alive[0] and not self._is_silent
            if not piece and is_alive[0]:
                with suppress(ConnectionError):
                    sink.write_eof()
                return
            if not piece:
                await asyncio.Event().wait()  # nobody learns that this side has gone
            if not is_alive[0]:
                continue
            sink.write(piece)
            with suppress(ConnectionError):
                await sink.drain()
            if is_request and self._trigger is not None and self._trigger in piece:
                self._trigger = None
                self._is_silent = True
                is_alive[0] = False
                self.silent.set()
