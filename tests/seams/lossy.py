"""A network in front of Postgres that loses the answer to a COMMIT: the transaction happened, and nobody hears of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url

COMMIT = b"COMMIT"


@dataclass
class Lossy:
    """`url` leads to the database. `lost`: how many answers to a COMMIT were lost so far."""

    socket: Path
    url: str = ""
    lost: int = 0
    is_away: bool = False
    _marker: bytes | None = None
    _stays_away: bool = False
    _carrying: set[asyncio.Task[None]] = field(default_factory=set)

    def lose(self, marker: bytes, *, then_away: bool = False) -> None:
        """The next transaction with a statement that holds `marker` is committed, and its answer lost; then nobody is let in
        until `come_back`, if asked for.
        """
        self._marker, self._stays_away = marker, then_away

    def come_back(self) -> None:
        """Lets everybody in again."""
        self.is_away = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        try:
            if not self.is_away:
                with suppress(asyncio.CancelledError):  # the end of the test
                    await self._carry(reader, writer)
        finally:
            self._carrying.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_unix_connection(self.socket)
        is_marked = is_losing = False

        async def ask() -> None:
            nonlocal is_marked, is_losing
            while data := await reader.read(65536):
                is_marked = is_marked or (self._marker is not None and self._marker in data)
                if COMMIT in data and is_marked and self._marker is not None:
                    is_losing, self._marker = True, None
                asks.write(data)
                await asks.drain()

        asking = asyncio.create_task(ask())
        try:
            while (data := await answers.read(65536)) and not self.is_away:
                if is_losing and COMMIT in data:
                    self.lost += 1
                    self.is_away = self._stays_away
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await asking
            asks.close()


@asynccontextmanager
async def lossy(postgres_url: str) -> AsyncIterator[Lossy]:
    """A way to that database, which is reached through a unix socket."""
    direct = make_url(postgres_url)
    network = Lossy(Path(str(direct.query["host"])) / ".s.PGSQL.5432")
    server = await asyncio.start_server(network.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    way = direct.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
    network.url = way.render_as_string(hide_password=False)
    try:
        yield network
    finally:
        server.close()
        for task in list(network._carrying):
            task.cancel()
        await asyncio.gather(*network._carrying, return_exceptions=True)
