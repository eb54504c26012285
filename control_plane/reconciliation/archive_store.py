"""SQL of the archive: the calls and spend logs of a month, page by page, and which months were archived."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, inspect, select
from sqlmodel import col

from control_plane.jobs.models import Call, Job
from control_plane.jobs.rules import OPEN_JOB
from control_plane.reconciliation.archiving import Sums
from control_plane.reconciliation.models import ArchivedMonth, SpendLog
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, values_of
from control_plane.storage.upsert import upsert

Archived = type[Call] | type[SpendLog]


async def count_open_jobs(reader: Reader, *, before: datetime) -> int:
    """How many jobs of before that time are open."""
    is_open = (col(Job.status).in_(OPEN_JOB), col(Job.created_at) < before)
    return int(await reader.scalar(select(func.count()).select_from(Job).where(*is_open)))


async def has_before(reader: Reader, table: Archived, id_: UUID) -> bool:
    """Whether there are rows with smaller ids."""
    return await reader.scalar(select(col(table.id)).where(col(table.id) < id_).limit(1)) is not None


async def sums(reader: Reader, table: Archived, first: UUID, end: UUID) -> Sums:
    """How many rows have ids from `first` up to `end`, and what they cost together."""
    cost = func.coalesce(func.sum(col(table.cost_nano_usd)), 0)
    row = (await reader.execute(select(func.count(), cost).where(*_range(table, first, end)))).one()
    return Sums(int(row[0]), int(row[1]))


async def list_page(
    reader: Reader, table: Archived, first: UUID, end: UUID, *, after: UUID | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """The next rows of that range in the order of their ids, by the names of their columns; `after`: the last one seen."""
    wanted = _range(table, first, end)
    if after is not None:
        wanted = (*wanted, col(table.id) > after)
    statement = select(*inspect(table).columns).where(*wanted).order_by(col(table.id)).limit(limit)
    return list((await reader.execute(statement)).mappings())


async def remove(tx: Tx, table: Archived, ids: Collection[UUID]) -> None:
    """Deletes these rows."""
    await tx.execute(delete(table).where(col(table.id).in_(ids)))


async def note(tx: Tx, archived: ArchivedMonth) -> None:
    """Keeps that a month was archived; what was archived of it before counts, too."""
    added = upsert(tx.dialect.name, ArchivedMonth)
    columns = added.table.c
    sums_ = ("calls", "calls_cost_nano_usd", "spend_logs", "spend_logs_cost_nano_usd")
    changes: dict[str, Any] = {name: columns[name] + added.excluded[name] for name in sums_}
    changes["archived_at"] = added.excluded["archived_at"]
    await tx.execute(added.on_conflict_do_update(index_elements=["month"], set_=changes), values_of(archived))


async def list_months(reader: Reader) -> Sequence[ArchivedMonth]:
    """The months that were archived, the latest first."""
    return many(ArchivedMonth, await reader.execute(every(ArchivedMonth).order_by(col(ArchivedMonth.month).desc())))


async def archived_until(reader: Reader) -> datetime | None:
    """Calls of before this moment were archived; None: none were."""
    latest = await reader.scalar(select(func.max(col(ArchivedMonth.month))))
    if latest is None:
        return None
    next_month = latest.replace(year=latest.year + latest.month // 12, month=latest.month % 12 + 1)
    return datetime.combine(next_month, time(), UTC)


def _range(table: Archived, first: UUID, end: UUID) -> tuple[Any, ...]:
    return col(table.id) >= first, col(table.id) < end
