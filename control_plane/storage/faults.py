"""Maps drivers' errors to ours: the database is away, or it reported that it was busy."""

import sqlite3
from typing import Any

from sqlalchemy import exc

from control_plane.errors import DatabaseBusy, DatabaseUnavailable, Overloaded
from control_plane.storage.turns import NoTurn

BUSY = frozenset({"55P03", "57014", "40P01", "40001", "25P03", "25P04"})
"""SQLSTATEs of a lock or statement that took too long, a deadlock, a serialization failure, and a transaction that was idle or
open for too long. Nothing has happened.
"""

DISK_FULL = "53100"
PRIMARY = 0xFF
"""Of SQLite's extended error codes."""

RETRY_AFTER_S = 2


def as_ours(error: BaseException) -> DatabaseUnavailable | None:
    """Our error for an exception of a driver or a wait for a connection; None for anything else.

    The database counts as away only when a driver reports it, or when it was silent for too long.
    """
    if isinstance(error, (NoTurn, exc.TimeoutError)):  # others had all connections: it was not used
        return Overloaded.after(RETRY_AFTER_S)
    if _is_busy(error):
        return DatabaseBusy(retry_after_s=RETRY_AFTER_S)
    is_away = isinstance(error, (exc.OperationalError, exc.InterfaceError, OSError))
    if is_away or (isinstance(error, exc.DBAPIError) and error.connection_invalidated):
        return DatabaseUnavailable(retry_after_s=RETRY_AFTER_S)
    return None


def is_disk_full(error: BaseException) -> bool:
    """Whether the database's disk is full."""
    driver = _driver_error(error)
    return _sqlite_code(driver) == sqlite3.SQLITE_FULL or getattr(driver, "sqlstate", None) == DISK_FULL


def _is_busy(error: BaseException) -> bool:
    driver = _driver_error(error)
    is_locked = _sqlite_code(driver) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return is_locked or getattr(driver, "sqlstate", None) in BUSY


def _driver_error(error: BaseException) -> Any:
    return error.orig if isinstance(error, exc.DBAPIError) else None


def _sqlite_code(driver: Any) -> int | None:
    code = getattr(driver, "sqlite_errorcode", None)
    return None if code is None else int(code) & PRIMARY
