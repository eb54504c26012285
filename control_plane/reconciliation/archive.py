"""The archive: a month's calls and spend logs are written to files, checked, and removed. No bill and no usage changes."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from uuid import UUID

from control_plane.clock import Clock
from control_plane.jobs.models import Call
from control_plane.reconciliation import archive_store as store
from control_plane.reconciliation.archive_files import ArchiveFile, read_ids, read_sums
from control_plane.reconciliation.archiving import (
    Exported,
    Sums,
    require_closed,
    require_first,
    require_over,
    require_rows,
    require_same,
)
from control_plane.reconciliation.models import ArchivedMonth, SpendLog
from control_plane.storage import partitions
from control_plane.storage.database import Database, Tx
from control_plane.storage.months import Month

PAGE = 1000

TABLES: Mapping[str, store.Archived] = {"calls": Call, "spend_logs": SpendLog}

Progress = Callable[[int, int], None]
"""Takes how many rows were written, and of how many."""


class ArchiveService:
    """Archives months, the oldest first."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def export(self, month: Month, folder: Path, *, progress: Progress = lambda _done, _all: None) -> Exported:
        """Writes a month's rows to files in a folder, and reads them again to see that they hold what the database does.

        Raises: Unprocessable for a month that may not be archived yet, for files that exist or cannot be written.
        """
        first, end = month.first_id, month.plus(1).first_id
        require_over(month, self._clock())
        async with self._db.reader(is_long=True) as reader:
            require_closed(month, await store.count_open_jobs(reader, before=month.plus(1).start))
            require_first(
                month, has_earlier=any([await store.has_before(reader, table, first) for table in TABLES.values()])
            )
            wanted = {name: await store.sums(reader, table, first, end) for name, table in TABLES.items()}
            known = {each.month: each.archived_at for each in await store.list_months(reader)}
        require_rows(month, wanted, known.get(month.start.date()))
        files = {name: ArchiveFile(file_of(folder, name, month)) for name in TABLES}
        done, total = 0, sum(each.rows for each in wanted.values())
        try:
            for name, table in TABLES.items():
                after: UUID | None = None
                while True:
                    async with self._db.reader(is_long=True) as reader:
                        page = await store.list_page(reader, table, first, end, after=after, limit=PAGE)
                    if not page:
                        break
                    await asyncio.to_thread(files[name].write, page)
                    after = page[-1]["id"]
                    done += len(page)
                    progress(done, max(done, total))
                await asyncio.to_thread(files[name].finish)
        finally:
            for file in files.values():
                file.discard()
        written = {name: await asyncio.to_thread(read_sums, file_of(folder, name, month)) for name in TABLES}
        await self._require_same(month, written)
        return Exported(month, folder, written)

    async def remove(self, exported: Exported) -> None:
        """Removes what was exported from the database, whole partitions where there are some; may be repeated.

        A row that is written meanwhile stays: its partition is not dropped, and only rows of the files are deleted.
        Raises: Unprocessable when the database holds something else before it begins; DatabaseUnavailable.
        """
        month, written = exported.month, exported.tables
        await self._require_same(month, written)
        noted = self._noted(month, written)
        async with self._db.transaction() as tx:  # first: a report whose call is gone must not look like one of no call
            await store.note(tx, noted)
        first, end = month.first_id, month.plus(1).first_id
        for name, table in TABLES.items():
            async with self._db.reader() as reader:
                parts = await partitions.list_partitions(reader, name)
            for part in parts:
                if part.is_exactly(month):
                    holds_the_same = partial(_holds, table=table, first=first, end=end, sums=written[name])
                    await partitions.drop(self._db, name, part, only_if=holds_the_same)
            async with self._db.reader() as reader:
                is_empty = not (await store.sums(reader, table, first, end)).rows
            if not is_empty:
                await self._delete(table, file_of(exported.folder, name, month))

    async def _delete(self, table: store.Archived, file: Path) -> None:
        pages = read_ids(file, count=PAGE)
        while ids := await asyncio.to_thread(next, pages, None):
            async with self._db.transaction() as tx:
                await store.remove(tx, table, ids)

    async def _require_same(self, month: Month, written: Mapping[str, Sums]) -> None:
        first, end = month.first_id, month.plus(1).first_id
        for name, table in TABLES.items():
            async with self._db.reader(is_long=True) as reader:
                require_same(name, written[name], await store.sums(reader, table, first, end))

    def _noted(self, month: Month, written: Mapping[str, Sums]) -> ArchivedMonth:
        calls, logs = written["calls"], written["spend_logs"]
        return ArchivedMonth(
            month=month.start.date(),
            calls=calls.rows,
            calls_cost_nano_usd=calls.cost,
            spend_logs=logs.rows,
            spend_logs_cost_nano_usd=logs.cost,
            archived_at=self._clock(),
        )


async def _holds(tx: Tx, *, table: store.Archived, first: UUID, end: UUID, sums: Sums) -> bool:
    """Whether the rows of that range are those that were exported."""
    return await store.sums(tx, table, first, end) == sums


def file_of(folder: Path, table: str, month: Month) -> Path:
    """Where the rows of a table are written."""
    return folder / f"{table}-{month}.jsonl.gz"
