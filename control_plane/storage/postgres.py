"""Postgres: connections in threads, for transactions that run in one go, and a pool of others for the event loop."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar, cast

from psycopg import OperationalError
from sqlalchemy import URL, Dialect, Engine, Executable, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from control_plane import waiting
from control_plane.storage.prepared import Prepared
from control_plane.storage.sessions import bound_session, connect_arguments
from control_plane.storage.threads import AsyncTx, ConnectionThread, ThreadTx
from control_plane.storage.turns import NoTurn, turn_within

T = TypeVar("T")

THREADS = 3  # more hot transactions at a time would wait for each other's rows, or for the interpreter


class PostgresThreads:
    """`number` connections to one database, each in its own thread. They do without the event loop's driver.

    A wait for one fails after half of the time that a transaction may take.
    """

    def __init__(self, url: URL, number: int, answer_timeout_s: float) -> None:
        self._wait_s = answer_timeout_s / 2
        self.engine = create_engine(url, poolclass=NullPool, **_common(url))
        _bound_sessions(self.engine, answer_timeout_s)
        self._threads: asyncio.LifoQueue[ConnectionThread] = asyncio.LifoQueue()
        for count in range(number):
            self._threads.put_nowait(ConnectionThread(self.engine, f"postgres-{count}", _hang_up))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncTx]:
        """A transaction, statement by statement. Raises: NoTurn when all threads are busy for too long."""
        async with self._thread() as thread:
            try:
                async with thread.transaction() as tx:
                    yield tx
            except asyncio.CancelledError:
                thread.interrupt()  # it may wait for a silent server
                raise

    reader = transaction

    async def look(self, work: Callable[[ThreadTx], Coroutine[Any, Any, T]], within_s: float) -> T:
        """A read in one go. Raises: as `run_in_thread`."""
        return await self.run_in_thread(work, within_s)

    async def run_in_thread(self, work: Callable[[ThreadTx], Coroutine[Any, Any, T]], within_s: float) -> T:
        """A transaction in one go. Raises: NoTurn when all threads are busy for too long; TimeoutError when it takes longer."""
        async with self._thread() as thread:
            return await thread.run_in_thread(work, within_s)

    @asynccontextmanager
    async def _thread(self) -> AsyncIterator[ConnectionThread]:
        async with turn_within(self._wait_s):
            thread = await self._threads.get()
        try:
            yield thread
        finally:
            self._threads.put_nowait(thread)

    async def aclose(self) -> None:
        """Closes every connection."""
        while not self._threads.empty():
            await self._threads.get_nowait().aclose()


class PooledTx:
    """A connection of the event loop's own driver."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.run_sync = connection.run_sync

    @property
    def dialect(self) -> Dialect:
        """The database's."""
        return self._connection.dialect

    async def execute(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """Runs a statement."""
        if isinstance(statement, Prepared):
            return await self._connection.run_sync(statement.run_written_out, parameters)
        return await self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """The first value of the first row."""
        if isinstance(statement, Prepared):
            statement = statement.statement
        return await self._connection.scalar(statement, parameters)


class PostgresPool:
    """At most `pool_size` connections to one database, of which at least two: up to three in threads, the rest in a pool."""

    def __init__(self, url: URL, pool_size: int, answer_timeout_s: float) -> None:
        threads = min(THREADS, max(1, pool_size // 2))
        self._engine = create_async_engine(
            url,
            pool_size=max(1, pool_size - threads),
            max_overflow=0,
            pool_timeout=answer_timeout_s / 2,
            pool_pre_ping=False,  # a round trip per use; a broken connection is a 503 and the pool recovers by itself
            **_common(url),
        )
        _bound_sessions(self._engine.sync_engine, answer_timeout_s)
        self._gone_at = 0.0
        event.listen(self._engine.sync_engine, "connect", _remember_when)
        event.listen(self._engine.sync_engine, "checkout", self._refuse_the_dead)
        self._threads = PostgresThreads(url, threads, answer_timeout_s)
        event.listen(self._threads.engine, "invalidate", self._note_gone)
        self.run_in_thread = self._threads.run_in_thread
        self.look = self._threads.look

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PooledTx"]:
        """A transaction, statement by statement.

        Raises: SQLAlchemy's TimeoutError, or NoTurn when the request may wait no longer, while others have all connections;
        TimeoutError when a new one takes longer than that.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(waiting.left_or_none_s()):
                    connection = await stack.enter_async_context(self._engine.begin())
            except TimeoutError as error:
                pool = cast("QueuePool", self._engine.pool)
                if pool.checkedout() >= pool.size():
                    raise NoTurn from error
                raise
            yield PooledTx(connection)

    reader = transaction

    def _note_gone(
        self, _connection: DBAPIConnection, _entry: ConnectionPoolEntry, _error: BaseException | None
    ) -> None:
        self._gone_at = time.monotonic()

    def _refuse_the_dead(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        """When a thread has found the database gone, the pool's older connections are dead, too: it makes new ones."""
        if entry.info["made_at"] < self._gone_at:
            raise DisconnectionError

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()
        await self._threads.aclose()


def _common(url: URL) -> dict[str, Any]:
    return {
        "hide_parameters": True,  # errors are logged, and customers' metadata must not be
        "connect_args": connect_arguments(url),
    }


def _bound_sessions(engine: Engine, answer_timeout_s: float) -> None:
    def bound(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        bound_session(connection, answer_timeout_s)

    event.listen(engine, "connect", bound)


def _remember_when(_connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    entry.info["made_at"] = time.monotonic()


def _hang_up(connection: DBAPIConnection) -> None:
    """Ends a wait for a silent server: the driver's thread sees a broken line."""
    with suppress(OperationalError, OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
