"""SQLite: one connection that writes and a few that read, each in a thread of its own."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from control_plane.storage.threads import AsyncTx, ConnectionThread, ThreadTx
from control_plane.storage.turns import Turns, turn_within

T = TypeVar("T")

READERS = 4


class SqliteThreads:
    """The connections to one file. Who waits for one gets an error after half of the time that a transaction may take."""

    def __init__(self, url: URL, answer_timeout_s: float) -> None:
        self._wait_s = answer_timeout_s / 2
        self._writer = ConnectionThread(_engine(url, begin="BEGIN IMMEDIATE"), "sqlite-writer", _interrupt)
        self._writing = Turns()
        self._is_urgent = False
        engine = _engine(url, begin="BEGIN")
        self._readers: asyncio.LifoQueue[ConnectionThread] = asyncio.LifoQueue()
        for number in range(READERS):
            self._readers.put_nowait(ConnectionThread(engine, f"sqlite-reader-{number}", _interrupt))

    def urgent(self) -> "SqliteThreads":
        """The same connections, whose writes go before those that wait already."""
        same = copy(self)
        same._is_urgent = True  # noqa: SLF001 - of our own class
        return same

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncTx]:
        """A transaction, statement by statement. Raises: NoTurn when others write for too long."""
        async with (
            self._writing.held(is_urgent=self._is_urgent, within_s=self._wait_s),
            self._writer.transaction() as tx,
        ):
            yield tx

    async def run_in_thread(self, work: Callable[[ThreadTx], Coroutine[Any, Any, T]], within_s: float) -> T:
        """A transaction in one go. Raises: as `transaction`; TimeoutError when it takes longer than `within_s`."""
        async with self._writing.held(is_urgent=self._is_urgent, within_s=self._wait_s):
            return await self._writer.run_in_thread(work, within_s)

    async def look(self, work: Callable[[ThreadTx], Coroutine[Any, Any, T]], within_s: float) -> T:
        """A look in one go. Raises: as `reader`; TimeoutError when it takes longer than `within_s`."""
        async with turn_within(self._wait_s):
            thread = await self._readers.get()
        try:
            return await thread.run_in_thread(work, within_s)
        finally:
            self._readers.put_nowait(thread)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AsyncTx]:
        """A look at one moment. Raises: NoTurn when all readers are busy for too long."""
        async with turn_within(self._wait_s):
            thread = await self._readers.get()
        try:
            async with thread.transaction() as reader:
                yield reader
        finally:
            self._readers.put_nowait(thread)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._writer.aclose()
        while not self._readers.empty():
            await self._readers.get_nowait().aclose()


def _interrupt(connection: DBAPIConnection) -> None:
    connection.interrupt()


def _engine(url: URL, *, begin: str) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,  # each thread keeps its connection
        hide_parameters=True,  # errors are logged, and customers' metadata must not be
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=5000")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
