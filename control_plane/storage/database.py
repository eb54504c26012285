"""The database: SQLite embedded in one process, or Postgres shared by many. Home of SQLAlchemy's engines.

`transaction()` is the only place that commits. A use case opens one, hands it to `store` functions, and leaves it; a
stream never holds one. Statements are Core: the tables are SQLModel classes, the rows are plain.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from control_plane.errors import DatabaseUnavailable, InvalidConfig

Tx = AsyncConnection
"""A connection inside a transaction that its opener commits."""

Reader = AsyncConnection
"""A connection for reading only."""

POOL_TIMEOUT_S = 5  # longer than a flush ever takes; a client would rather hear 503 than wait
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10.0
"""How long a transaction may take before the database counts as away: a machine that hangs refuses nobody, it is silent.
Ten times what the largest flush needs.
"""


def parse_database_url(url: str) -> URL:
    """`sqlite:///path` or `postgresql://…` with the driver filled in. Raises: InvalidConfig for anything else."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise InvalidConfig(
            ["CONTROL_PLANE_DATABASE_URL is not a database URL; write sqlite:///path or postgresql://user@host/name"]
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise InvalidConfig([f"CONTROL_PLANE_DATABASE_URL: {other} is not supported; use sqlite or postgresql"])


class Database:
    """Connections to one database. `pool_size` bounds what one process opens on Postgres.

    `answer_timeout_s` bounds each transaction and look, but for those that say they are long.
    """

    def __init__(self, url: str, *, pool_size: int = 10, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.url = parse_database_url(url)
        self._answer_timeout_s = answer_timeout_s
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            _make_folder(self.url)
            self._writer = _sqlite_engine(self.url, begin="BEGIN IMMEDIATE", pool_size=1)
            self._reader = _sqlite_engine(self.url, begin="BEGIN", pool_size=4)
        else:
            self._writer = self._reader = _postgres_engine(self.url, pool_size)

    @asynccontextmanager
    async def transaction(self, *, is_long: bool = False) -> AsyncIterator[Tx]:
        """Everything inside happens, or nothing does: commits on leaving, rolls back on any exception.

        On SQLite one writer at a time: the next waits for the connection. Raises: DatabaseUnavailable.
        """
        with _unavailable():
            async with self._in_time(is_long=is_long), self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reader(self, *, is_long: bool = False) -> AsyncIterator[Reader]:
        """A look that changes nothing. Raises: DatabaseUnavailable."""
        with _unavailable():
            async with self._in_time(is_long=is_long), self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        """A reader that sees one moment, however many statements it asks and however long. Raises: DatabaseUnavailable.

        On SQLite every reader does; on Postgres it keeps old rows from being cleaned up: not for long.
        """
        async with self.reader(is_long=True) as reader:
            if not self.is_sqlite:
                await reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield reader

    @asynccontextmanager
    async def alone(self, work: str) -> AsyncIterator[bool]:
        """Whether this process may do `work` now, because no other one is doing it. Raises: DatabaseUnavailable.

        Postgres keeps the lock as long as a transaction is open, so a process that dies lets go of it. On SQLite there
        is one process.
        """
        if self.is_sqlite:
            yield True
            return
        async with self.transaction(is_long=True) as tx:
            asked = await tx.execute(text("SELECT pg_try_advisory_xact_lock(hashtext(:work))"), {"work": work})
            yield asked.scalar_one()

    def _in_time(self, *, is_long: bool) -> asyncio.Timeout:
        """Cancels what is inside when the time is over, which leaves it as a TimeoutError."""
        return asyncio.timeout(None if is_long else self._answer_timeout_s)

    async def check(self) -> None:
        """Raises DatabaseUnavailable when the database does not answer."""
        async with self.reader() as reader:
            await reader.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


class _unavailable:  # noqa: N801 - reads as a word at its two uses
    """Turns what drivers say when the database is away, locked or shutting down into our error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        is_away = isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError))
        if is_away or (isinstance(error, exc.DBAPIError) and error.connection_invalidated):
            raise DatabaseUnavailable(retry_after_s=2) from error


def _make_folder(url: URL) -> None:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def _sqlite_engine(url: URL, *, begin: str, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,  # errors are logged, and customers' metadata must not be
        pool_reset_on_return=None,  # each use ends its own transaction, and a needless rollback is a thread hop
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        try:
            driver.run_async(lambda sqlite: sqlite.execute(begin))  # one thread hop; a cursor of its own would be three
        except BaseException:
            connection.invalidate()  # a caller cancelled here: SQLite begins all the same, and nobody would end it
            raise

    return engine


def _postgres_engine(url: URL, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,  # errors are logged, and customers' metadata must not be
        pool_pre_ping=False,  # a round trip per use; a broken connection is a 503 and the pool recovers by itself
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )
