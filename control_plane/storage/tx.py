"""A connection inside a transaction, for statements, and the time of its database."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Dialect, Executable, text

from control_plane.clock import Clock
from control_plane.storage.prepared import Prepared

T = TypeVar("T")


class Tx(Protocol):
    """A connection inside a transaction that its opener commits."""

    @property
    def dialect(self) -> Dialect:
        """The database's."""

    async def execute(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """Runs a statement; gives its rows, as SQLAlchemy's result does."""

    async def scalar(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """The first value of the first row."""

    async def run_sync(self, work: Callable[[Connection], T], /) -> T:
        """The result of `work` with the connection."""


async def database_now(tx: Tx, clock: Clock) -> datetime:
    """The present moment by the database's clock, which all replicas share. SQLite runs in this process: by `clock`."""
    if tx.dialect.name == "sqlite":
        return clock()
    now: datetime = await tx.scalar(text("SELECT clock_timestamp()"))
    return now.astimezone(UTC)
