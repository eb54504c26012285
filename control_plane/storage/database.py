"""The database: SQLite embedded in one process (`sqlite.py`), or Postgres shared by many (`postgres.py`).

`transaction()` and `run_in_thread()` are the only places that commit. A use case opens one, hands it to `store` functions, and
leaves it; a stream never holds one. Statements are Core: the tables are SQLModel classes, the rows are plain.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, exc, make_url, text

from control_plane import clock as system_clock
from control_plane.errors import DatabaseBusy, DatabaseUnavailable, InvalidConfig, OutcomeUnknown
from control_plane.storage.faults import as_ours, is_disk_full
from control_plane.storage.postgres import PostgresPool, PostgresThreads
from control_plane.storage.sessions import lift_bounds
from control_plane.storage.sqlite import SqliteThreads
from control_plane.storage.tx import Tx, database_now

__all__ = ["ANSWER_TIMEOUT_S", "Database", "Reader", "Tx", "parse_database_url", "retry_if_unknown"]

T = TypeVar("T")

Reader = Tx
"""A connection for reading only."""

ANSWER_TIMEOUT_S = 10.0
"""How long a transaction may take before the database counts as away: a hung host refuses no connection, it is silent.
Ten times what the largest flush needs.
"""

FULL_S = 10.0
"""How long a database whose disk was full counts as full: a heartbeat that updates a row in its place needs no space.
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


@dataclass(slots=True)
class _Progress:
    """Progress of a transaction. `has_begun`: a thread has it, and may continue when its caller waits no longer.
    `is_committing`: all of it was done but the commit.
    """

    has_begun: bool = False
    is_committing: bool = False

    def is_unknown(self, error: Exception) -> bool:
        """Whether it may have happened although it failed so."""
        return self.is_committing or (self.has_begun and isinstance(error, TimeoutError))


class Database:
    """Connections to one database. `pool_size` bounds what one process opens on Postgres.

    `answer_timeout_s` bounds each transaction and read, but for those marked as long.
    """

    def __init__(self, url: str, *, pool_size: int = 10, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.url = parse_database_url(url)
        self._answer_timeout_s = answer_timeout_s
        self._full_at = -math.inf
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._backend: SqliteThreads | PostgresThreads | PostgresPool
        if self.is_sqlite:
            _make_file(self.url)
            self._backend = SqliteThreads(self.url, answer_timeout_s)
        else:
            self._backend = PostgresPool(self.url, pool_size, answer_timeout_s)

    def beside(self, connections: int, *, is_urgent: bool = False, answer_timeout_s: float | None = None) -> "Database":
        """The same database with so many connections of its own, which do not wait for users of this object.

        SQLite has one connection that writes: there an urgent user goes before those who wait for it, and others wait
        with them. Closing this object closes SQLite's connections for both.
        """
        other = copy(self)
        other._answer_timeout_s = min(answer_timeout_s or self._answer_timeout_s, self._answer_timeout_s)  # noqa: SLF001 - of our own class
        if isinstance(self._backend, SqliteThreads):
            other._backend = self._backend.urgent() if is_urgent else self._backend  # noqa: SLF001 - as above
        else:
            other._backend = PostgresThreads(self.url, connections, other._answer_timeout_s)  # noqa: SLF001 - as above
        return other

    @property
    def is_full(self) -> bool:
        """Whether a write failed for a full database disk within the last seconds."""
        return time.monotonic() - self._full_at < FULL_S

    @asynccontextmanager
    async def transaction(self, *, is_long: bool = False) -> AsyncIterator[Tx]:
        """Everything inside happens, or nothing does: commits on leaving, rolls back on any exception.

        On SQLite one writer at a time: the next waits for the connection. Raises: DatabaseUnavailable; OutcomeUnknown
        when it went away while committing.
        """
        with self._translated() as progress:
            async with self._in_time(is_long=is_long), self._backend.transaction() as tx:
                if is_long and not self.is_sqlite:
                    await lift_bounds(tx)
                yield tx
                progress.is_committing = True

    async def run_in_thread(self, work: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, a whole transaction, run in a thread without coming back in between: for the hot paths.

        `work` waits for nothing but its statements. A caller that is cancelled meanwhile leaves it to be finished.
        Raises: DatabaseUnavailable; OutcomeUnknown when it went away while committing.
        """
        with self._translated() as progress:

            async def noted(tx: Tx) -> T:
                progress.has_begun = True
                result = await work(tx)
                progress.is_committing = True
                return result

            return await self._backend.run_in_thread(noted, self._answer_timeout_s)

    async def look(self, work: Callable[[Reader], Coroutine[Any, Any, T]]) -> T:
        """The result of the read `work`, in a thread in one go: for the hot paths. Raises: DatabaseUnavailable."""
        with self._translated():
            return await self._backend.look(work, self._answer_timeout_s)

    @asynccontextmanager
    async def reader(self, *, is_long: bool = False) -> AsyncIterator[Reader]:
        """A read-only transaction. Raises: DatabaseUnavailable."""
        with self._translated():
            async with self._in_time(is_long=is_long), self._backend.reader() as reader:
                if is_long and not self.is_sqlite:
                    await lift_bounds(reader)
                yield reader

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        """A reader that sees one moment for any number of statements and any time. Raises: DatabaseUnavailable.

        On SQLite every reader does; on Postgres it keeps old rows from being cleaned up: not for long.
        """
        async with self.reader(is_long=True) as reader:
            if not self.is_sqlite:
                await reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield reader

    def _in_time(self, *, is_long: bool) -> asyncio.Timeout:
        """Cancels what is inside when the time is over, which leaves it as a TimeoutError."""
        return asyncio.timeout(None if is_long else self._answer_timeout_s)

    async def check(self) -> None:
        """Raises DatabaseUnavailable when the database does not answer."""
        async with self.reader() as reader:
            await reader.execute(text("SELECT 1"))

    async def clock(self) -> datetime:
        """The database's time. Raises: DatabaseUnavailable."""
        async with self.reader() as reader:
            await reader.execute(text("SELECT 1"))
            return await database_now(reader, system_clock.now)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._backend.aclose()

    @contextmanager
    def _translated(self) -> Iterator[_Progress]:
        """Turns what drivers raise when the database is away, locked or shutting down into our errors."""
        progress = _Progress()
        try:
            yield progress
        except Exception as error:
            if is_disk_full(error):
                self._full_at = time.monotonic()
            ours = as_ours(error)
            if ours is None:
                raise
            if progress.is_unknown(error) and not isinstance(ours, DatabaseBusy):
                ours = OutcomeUnknown(retry_after_s=ours.retry_after_s)
            raise ours from error


async def retry_if_unknown(work: Callable[[], Awaitable[T]], *, again: Callable[[], Awaitable[T]] | None = None) -> T:
    """The result of `work`, retried once when its first outcome is unknown: it must find what it did then. `again`: the
    second try, if it is another one.

    Raises: what `work` raises; OutcomeUnknown, too, when the second try found no database at all.
    """
    try:
        return await work()
    except OutcomeUnknown as unknown:
        try:
            return await (again or work)()
        except DatabaseUnavailable:
            raise unknown from None


def _make_file(url: URL) -> None:
    """The file and its folder, where there is none yet. SQLite would let every user of the host read it; its journals
    get the permissions of the file.
    """
    if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
