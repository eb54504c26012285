"""Old spend logs are dropped: whole months at once where their table is partitioned, row by row elsewhere."""

from datetime import datetime

from control_plane.ids import first_id_at
from control_plane.reconciliation import store
from control_plane.reconciliation.models import SpendLog
from control_plane.storage import partitions
from control_plane.storage.database import Database

PAGE = 1000
TABLE = str(SpendLog.__tablename__)


async def drop_logs(db: Database, before: datetime, *, only_whole_months: bool) -> int:
    """Drops spend logs from before that time, imported ones too; returns how many.

    `only_whole_months`: of a month that has a partition and is not over by then, nothing is dropped.
    Raises: DatabaseUnavailable; DatabaseBusy when the table was locked for too long: what is left is dropped the next time.
    """
    first_kept = first_id_at(before)
    dropped = 0
    async with db.reader() as reader:
        parts = await partitions.list_partitions(reader, TABLE)
    for part in parts:
        if part.is_over(first_kept):
            dropped += await partitions.drop(db, TABLE, part)
        elif not (part.is_month and only_whole_months):
            dropped += await partitions.delete_before(db, part, first_kept, page=PAGE)
    while True:
        async with db.transaction() as tx:
            count = await store.drop_imported(tx, before=before, limit=PAGE)
            count += 0 if parts else await store.drop_logs(tx, before=before, limit=PAGE)
        if not count:
            return dropped
        dropped += count
