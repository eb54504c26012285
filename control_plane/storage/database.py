"""The database: SQLite embedded in one process (`sqlite.py`), or Postgres shared by many (`postgres.py`).

`transaction()` and `at_once()` are the only places that commit. A use case opens one, hands it to `store` functions, and
leaves it; a stream never holds one. Statements are Core: the tables are SQLModel classes, the rows are plain.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy import URL, Connection, Dialect, Executable, exc, make_url, text

from control_plane.errors import DatabaseUnavailable, InvalidConfig, OutcomeUnknown
from control_plane.storage.postgres import PostgresPool
from control_plane.storage.sqlite import SqliteThreads

T = TypeVar("T")


class Tx(Protocol):
    """A connection inside a transaction that its opener commits."""

    @property
    def dialect(self) -> Dialect:
        """The database's."""

    async def execute(self, statement: Executable, parameters: Any = None, /) -> Any:
        """Runs a statement; gives SQLAlchemy's result."""

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        """The first value of the first row."""

    async def run_sync(self, work: Callable[[Connection], T], /) -> T:
        """What `work` does with the connection."""


Reader = Tx
"""A connection for reading only."""

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
            return parsed.set(drivername="sqlite")
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
        self._machine: SqliteThreads | PostgresPool
        if self.is_sqlite:
            _make_file(self.url)
            self._machine = SqliteThreads(self.url)
        else:
            self._machine = PostgresPool(self.url, pool_size)

    @asynccontextmanager
    async def transaction(self, *, is_long: bool = False) -> AsyncIterator[Tx]:
        """Everything inside happens, or nothing does: commits on leaving, rolls back on any exception.

        On SQLite one writer at a time: the next waits for the connection. Raises: DatabaseUnavailable; OutcomeUnknown
        when it went away while committing.
        """
        with _unavailable() as progress:
            async with self._in_time(is_long=is_long), self._machine.transaction() as tx:
                yield tx
                progress.is_committing = True

    async def at_once(self, work: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, a whole transaction, run in a thread without coming back in between: for the hot paths.

        `work` waits for nothing but its statements. A caller that is cancelled meanwhile leaves it to be finished.
        Raises: DatabaseUnavailable; OutcomeUnknown when it went away while committing.
        """
        with _unavailable() as progress:

            async def noted(tx: Tx) -> T:
                progress.has_begun = True
                result = await work(tx)
                progress.is_committing = True
                return result

            return await self._machine.at_once(noted, self._answer_timeout_s)

    @asynccontextmanager
    async def reader(self, *, is_long: bool = False) -> AsyncIterator[Reader]:
        """A look that changes nothing. Raises: DatabaseUnavailable."""
        with _unavailable():
            async with self._in_time(is_long=is_long), self._machine.reader() as reader:
                yield reader

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

    async def clock(self) -> datetime:
        """What time it is there. Raises: DatabaseUnavailable."""
        if self.is_sqlite:
            await self.check()
            return datetime.now(UTC)
        async with self.reader() as reader:
            now: datetime = await reader.scalar(text("SELECT clock_timestamp()"))
        return now.astimezone(UTC)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._machine.aclose()


class _unavailable:  # noqa: N801 - reads as a word at its uses
    """Turns what drivers say when the database is away, locked or shutting down into our error.

    `has_begun`: a thread has the transaction, and may go on with it when its caller waits no longer. `is_committing`: all
    of it was done but the commit.
    """

    def __init__(self) -> None:
        self.has_begun = False
        self.is_committing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        is_away = isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError))
        if is_away or (isinstance(error, exc.DBAPIError) and error.connection_invalidated):
            is_unknown = self.is_committing or (self.has_begun and isinstance(error, TimeoutError))
            raise (OutcomeUnknown if is_unknown else DatabaseUnavailable)(retry_after_s=2) from error


async def again_if_unknown(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, asked for once more when its first outcome is unknown: it must find what it did then.

    Raises: what `work` raises; OutcomeUnknown, too, when the second try found no database at all.
    """
    try:
        return await work()
    except OutcomeUnknown as unknown:
        try:
            return await work()
        except DatabaseUnavailable:
            raise unknown from None


def _make_file(url: URL) -> None:
    """The file and its folder, where there is none yet. SQLite would let every user of the machine read it; its journals
    get the permissions of the file.
    """
    if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
