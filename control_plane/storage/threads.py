"""Connections of synchronous drivers, each served by a thread of its own.

A transaction can be run in one go: its coroutine is driven inside the thread, where every statement answers at once, so
that all of it costs one hop between threads instead of one (or four) for each statement. Statements written for one way
work in the other: both are awaited.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, Executable
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, PendingRollbackError, ResourceClosedError

from control_plane.storage.prepared import Prepared

T = TypeVar("T")


class ThreadTx:
    """A connection inside its thread: awaiting it never waits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> Dialect:
        """The database's."""
        return self._connection.dialect

    async def execute(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """Runs a statement."""
        if isinstance(statement, Prepared):
            return statement.run(self._connection, parameters)
        return self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """The first value of the first row."""
        return _scalar(self._connection, statement, parameters)

    async def run_sync(self, work: Callable[[Connection], T], /) -> T:
        """What `work` does with the connection."""
        return work(self._connection)


class AsyncTx:
    """A connection seen from the event loop: each statement is a hop to its thread and back."""

    def __init__(self, thread: "ConnectionThread") -> None:
        self._thread = thread

    @property
    def dialect(self) -> Dialect:
        """The database's."""
        return self._thread.dialect

    async def execute(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """Runs a statement; its rows are here when it returns."""
        return await self._thread.run(_executed, statement, parameters)

    async def scalar(self, statement: Executable | Prepared, parameters: Any = None, /) -> Any:
        """The first value of the first row."""
        return await self._thread.run(_scalar, statement, parameters)

    async def run_sync(self, work: Callable[[Connection], T], /) -> T:
        """What `work` does with the connection, in its thread."""
        return await self._thread.run(work)


class ConnectionThread:
    """One connection and the thread that uses it, in the order of asking. One transaction at a time.

    `interrupt`, called from another thread, makes what the connection is waiting for fail.
    """

    def __init__(self, engine: Engine, name: str, interrupt: Callable[[DBAPIConnection], None]) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._interrupt = interrupt
        self._connection: Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncTx]:
        """Commits on leaving, rolls back on any exception, a cancellation too."""
        try:
            await self.run(_begin)
            yield AsyncTx(self)
            await self.run(_commit)
        except BaseException:
            self._submit(_rollback)  # behind whatever a cancelled caller has left running; nobody needs to wait
            raise

    async def run_in_thread(self, work: Callable[[ThreadTx], Coroutine[Any, Any, T]], within_s: float) -> T:
        """One transaction in one hop. A caller cancelled meanwhile leaves it to be finished.

        Raises: TimeoutError after `within_s`; what it was waiting for is given up.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self.run(_run_at_once, work, time.monotonic() + within_s)
        except TimeoutError:
            self.interrupt()
            raise

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` does with the connection, in its thread."""
        return await asyncio.wrap_future(self._submit(work, *arguments))

    def interrupt(self) -> None:
        """Makes what the connection is waiting for fail."""
        with suppress(PendingRollbackError, ResourceClosedError):  # it has failed already
            if self._connection is not None and (driver := self._connection.connection.dbapi_connection) is not None:
                self._interrupt(driver)

    async def aclose(self) -> None:
        """Closes the connection and ends the thread."""
        await asyncio.wrap_future(self._thread.submit(self._close))
        self._thread.shutdown(wait=False)

    def _submit(self, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        context = copy_context()  # what is logged there belongs to the request
        return self._thread.submit(context.run, self._with_connection, work, *arguments)

    def _with_connection(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            self._close()
            self._connection = self._engine.connect()
        return work(self._connection, *arguments)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _begin(connection: Connection) -> None:
    connection.begin()


def _commit(connection: Connection) -> None:
    connection.commit()


def _rollback(connection: Connection) -> None:
    connection.rollback()


def _executed(connection: Connection, statement: Executable | Prepared, parameters: Any) -> Any:
    """A result that has left the connection: its rows are read here, in the thread."""
    if isinstance(statement, Prepared):
        return statement.run(connection, parameters)
    result = connection.execute(statement, parameters)
    return result.freeze()() if result.returns_rows else result


def _scalar(connection: Connection, statement: Executable | Prepared, parameters: Any) -> Any:
    if isinstance(statement, Prepared):
        return statement.run(connection, parameters).scalar()
    return connection.scalar(statement, parameters)


def _run_at_once(connection: Connection, work: Callable[[ThreadTx], Coroutine[Any, Any, T]], until: float) -> T:
    """A connection that turns out to be dead is made anew, once: nothing of the transaction has happened then."""
    try:
        result = _begun(connection, work)
    except DBAPIError as error:
        if not error.connection_invalidated or time.monotonic() >= until:
            raise
        result = _begun(connection, work)
    try:
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return result


def _begun(connection: Connection, work: Callable[[ThreadTx], Coroutine[Any, Any, T]]) -> T:
    try:
        connection.begin()
        return finished(work(ThreadTx(connection)))
    except BaseException:
        connection.rollback()
        raise


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing. Raises: RuntimeError for one that does."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a transaction that is run at once may wait for nothing but its own statements")
