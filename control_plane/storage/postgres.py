"""Postgres: a pool of connections for the event loop, and a few in threads for transactions that run in one go."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from psycopg import OperationalError
from sqlalchemy import URL, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from control_plane.storage.threads import ConnectionThread, DirectTx

T = TypeVar("T")

THREADS = 3  # more hot transactions at a time would wait for each other's rows, or for the interpreter
WAIT_S = 5  # longer than a flush ever takes; a client would rather hear 503 than wait
CONNECT_TIMEOUT_S = 5


class PostgresPool:
    """At most `pool_size` connections to one database."""

    def __init__(self, url: URL, pool_size: int) -> None:
        common = {
            "hide_parameters": True,  # errors are logged, and customers' metadata must not be
            "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S},
        }
        self._engine = create_async_engine(
            url,
            pool_size=max(1, pool_size - THREADS),
            max_overflow=0,
            pool_timeout=WAIT_S,
            pool_pre_ping=False,  # a round trip per use; a broken connection is a 503 and the pool recovers by itself
            **common,
        )
        self._gone_at = 0.0
        event.listen(self._engine.sync_engine, "connect", _remember_when)
        event.listen(self._engine.sync_engine, "checkout", self._refuse_the_dead)
        engine = create_engine(url, poolclass=NullPool, **common)
        event.listen(engine, "handle_error", self._look_at)
        self._threads: asyncio.LifoQueue[ConnectionThread] = asyncio.LifoQueue()
        for number in range(THREADS):
            self._threads.put_nowait(ConnectionThread(engine, f"postgres-{number}", _hang_up))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, statement by statement. Raises: SQLAlchemy's TimeoutError when the pool is empty for too long."""
        async with self._engine.begin() as connection:
            yield connection

    reader = transaction

    async def at_once(self, work: Callable[[DirectTx], Coroutine[Any, Any, T]], within_s: float) -> T:
        """A transaction in one go. Raises: TimeoutError when all threads are busy for too long, or it takes longer."""
        async with asyncio.timeout(WAIT_S):
            thread = await self._threads.get()
        try:
            return await thread.at_once(work, within_s)
        finally:
            self._threads.put_nowait(thread)

    def _look_at(self, context: ExceptionContext) -> None:
        if context.is_disconnect:
            self._gone_at = time.monotonic()

    def _refuse_the_dead(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        """When a thread has found the database gone, the pool's older connections are dead, too: it makes new ones."""
        if entry.info["made_at"] < self._gone_at:
            raise DisconnectionError

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()
        while not self._threads.empty():
            await self._threads.get_nowait().aclose()


def _remember_when(_connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    entry.info["made_at"] = time.monotonic()


def _hang_up(connection: DBAPIConnection) -> None:
    """Ends a wait for a server that says nothing: the driver's thread sees a broken line."""
    with suppress(OperationalError, OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
