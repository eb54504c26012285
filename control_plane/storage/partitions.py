"""On Postgres `calls` and `spend_logs` are partitioned by month, so that a month can be dropped as a whole.

Tables become partitioned while servers write to them, in steps of which each is one transaction and may be repeated:

1. a CHECK, not validated, that all ids are smaller than those of a month to come: a lock for a moment;
2. that CHECK is validated: reads the whole table, keeps no writer waiting;
3. the table is renamed to `…_before`, and becomes the first partition of a new table with its name, columns, indexes, owner
   and grants. The CHECK says that all rows are within the partition's bounds, so nothing is read: a lock for a moment.

Locks that keep writers waiting are given up after a fraction of a second, and the step is tried again later.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import text

from control_plane import failpoints
from control_plane.errors import DatabaseBusy
from control_plane.storage import partition_store as store
from control_plane.storage.database import Database, Reader, Tx
from control_plane.storage.months import Month, Partition, first_month, is_late, missing, months_from

T = TypeVar("T")

log = logging.getLogger(__name__)

TABLES = ("calls", "spend_logs")
"""Their ids are UUIDv7, and their primary key is the id alone."""

EVERY = timedelta(hours=1)

LOCK_TIMEOUTS_MS = (300, 300, 1500)
"""Of the tries to get a lock that keeps writers waiting. The last is longer than `deadlock_timeout` (1 s), after which an
autovacuum gives way.
"""

PAUSE_S = 1.0
"""Between two tries: for those that waited behind the first."""


class PartitionService:
    """Makes the tables partitioned, and the partitions of the months to come."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._due = 0.0

    async def ensure_hourly(self) -> None:
        """Does what is due, once an hour; a periodic task. A step that found a table locked waits for the next time."""
        if time.monotonic() < self._due or self._db.is_sqlite:
            return
        self._due = time.monotonic() + EVERY.total_seconds()
        await ensure(self._db)


async def ensure(db: Database, *, now: datetime | None = None, only_empty: bool = False) -> None:
    """Every table is partitioned, and the coming months have their partitions. Nothing on SQLite.

    `now`: the present moment by the database's clock, if it is not to be asked. `only_empty`: leaves tables as they are that
    have rows and no partitions.
    Raises: DatabaseUnavailable; DatabaseBusy when a table was locked for too long.
    """
    if db.is_sqlite:
        return
    now = now or await db.clock()
    busy: DatabaseBusy | None = None
    for table in TABLES:
        try:
            await _ensure(db, table, now, only_empty=only_empty)
        except DatabaseBusy as error:  # the other table may have its turn
            busy = error
    if busy is not None:
        raise busy


async def _ensure(db: Database, table: str, now: datetime, *, only_empty: bool) -> None:
    async with db.reader() as reader:
        is_partitioned = await store.is_partitioned(reader, table)
    if is_partitioned:
        await _add_months(db, table, now)
    else:
        await _convert(db, table, now, only_empty=only_empty)


async def list_partitions(reader: Reader, table: str) -> Sequence[Partition]:
    """The partitions of a table; none for one that is not partitioned."""
    return [] if reader.dialect.name == "sqlite" else await store.list_partitions(reader, table)


async def list_warnings(db: Database) -> Sequence[str]:
    """What an operator should know of the partitions; nothing where all is as it should be, and on SQLite."""
    if db.is_sqlite:
        return []
    async with db.reader() as reader:
        return [each for table in TABLES for each in await _warnings_of(reader, table)]


async def _warnings_of(reader: Reader, table: str) -> Sequence[str]:
    if await store.is_partitioned(reader, table):
        defaults = [each.name for each in await store.list_partitions(reader, table) if each.is_default]
        used = [name for name in defaults if not await store.is_empty(reader, name)]
        return [f"{name} has rows, of months that had no partition" for name in used]
    found: list[str] = []
    if blocked := await store.list_obstacles(reader, table):
        found.append(f"{table} cannot be partitioned by month: {', '.join(blocked)}")
    if (first := await store.checked_month(reader, table)) is not None:
        found.append(f"{table} is about to be partitioned; until a server has done it, no row from {first} on fits")
    return found


async def drop(
    db: Database, table: str, partition: Partition, *, only_if: Callable[[Tx], Coroutine[Any, Any, bool]] | None = None
) -> int:
    """Drops a partition with its rows; returns how many there were. `only_if`: evaluated when nothing can be written to it any
    more; False leaves it, and returns 0.

    Raises: DatabaseUnavailable; DatabaseBusy when the table was locked for too long.
    """
    async with db.reader(is_long=True) as reader:
        rows = await store.count(reader, partition.name)

    async def work(tx: Tx) -> bool:
        await store.lock(tx, table)
        if only_if is not None and not await only_if(tx):
            return False
        await store.drop(tx, table, partition.name)
        failpoints.reach("partition_dropped")
        return True

    if not await _briefly(db, work):
        return 0
    log.info("partition_dropped", extra={"table": table, "partition": partition.name, "rows": rows})
    return rows


async def delete_before(db: Database, partition: Partition, before: UUID, *, page: int) -> int:
    """Deletes the rows of a partition that have smaller ids, so many in a transaction; returns how many in all."""
    deleted = 0
    while True:
        async with db.transaction() as tx:
            count = await store.delete_before(tx, partition.name, before, limit=page)
        if not count:
            return deleted
        deleted += count


async def _convert(db: Database, table: str, now: datetime, *, only_empty: bool) -> None:
    async with db.reader() as reader:
        blocked = await store.list_obstacles(reader, table)
        is_empty = await store.is_empty(reader, table)
        first = await store.checked_month(reader, table)
    if blocked:
        log.warning("partitions_blocked", extra={"table": table, "by": ", ".join(blocked)})
        return
    if only_empty and not is_empty:
        return
    if not is_empty:
        if first is None or is_late(first, now):
            first = first_month(now, is_empty=False)
            await _briefly(db, lambda tx: _check(tx, table, first))
            failpoints.reach("partitions_checked")
        started = time.monotonic()
        async with db.transaction(is_long=True) as tx:
            await store.validate_check(tx, table, first)
        log.info("partitions_validated", extra={"table": table, "seconds": round(time.monotonic() - started, 1)})
        failpoints.reach("partitions_validated")
    await _briefly(db, lambda tx: _exchange(tx, table, now))


async def _check(tx: Tx, table: str, first: Month) -> None:
    await store.lock(tx, table)
    if await store.is_partitioned(tx, table):
        return
    before = await store.checked_month(tx, table)
    if before is not None:
        await store.drop_check(tx, table, before)
    await store.add_check(tx, table, first)


async def _exchange(tx: Tx, table: str, now: datetime) -> None:
    await store.lock(tx, table)
    if await store.is_partitioned(tx, table):
        return
    first = await store.checked_month(tx, table)
    if first is None:
        if not await store.is_empty(tx, table):
            raise DatabaseBusy("Rows were written meanwhile; the next try gives them a CHECK first.")
        first = first_month(now, is_empty=True)
    await store.exchange(tx, table, first)
    for month in months_from(first, now):
        await store.add_month(tx, table, month)
    await store.add_default(tx, table)
    failpoints.reach("partitions_exchanged")
    log.info("partitioned", extra={"table": table, "since": str(first)})


async def _add_months(db: Database, table: str, now: datetime) -> None:
    async with db.reader() as reader:
        partitions = await store.list_partitions(reader, table)
        strays = [await store.count_default(reader, table, month) for month in missing(partitions, now)]
    for month, stray in zip(missing(partitions, now), strays, strict=True):
        if stray > store.MOST_MOVED:
            log.warning("partition_default_used", extra={"table": table, "month": str(month)})
            continue
        await _briefly(db, lambda tx, month=month: _add_month(tx, table, month))  # type: ignore[misc]
        log.info("partition_added", extra={"table": table, "month": str(month), "moved": stray})


async def _add_month(tx: Tx, table: str, month: Month) -> None:
    await store.lock(tx, table, keeps_writers=True)
    if not any(each.holds(month.first_id) for each in await store.list_partitions(tx, table)):
        await store.add_month(tx, table, month)
    failpoints.reach("partition_added")


async def _briefly(db: Database, work: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
    """What a transaction does that keeps writers waiting: in one go, and given up when it does not get its locks.

    Raises: DatabaseBusy when none of the tries got them.
    """
    for number, lock_timeout_ms in enumerate(LOCK_TIMEOUTS_MS, start=1):

        async def bounded(tx: Tx, lock_timeout_ms: int = lock_timeout_ms) -> T:
            await tx.execute(text(f"SET LOCAL lock_timeout = {lock_timeout_ms}"))
            return await work(tx)

        try:
            return await db.run_in_thread(bounded)
        except DatabaseBusy:
            if number == len(LOCK_TIMEOUTS_MS):
                raise
            await asyncio.sleep(PAUSE_S)
    raise AssertionError("the last try returns or raises")
