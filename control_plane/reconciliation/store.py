"""SQL of the reconciliation: calls and their reports, page by page; proxies' logs; the comparisons made."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, delete, func, insert, or_, select
from sqlmodel import col

from control_plane.ids import first_id_at
from control_plane.jobs.models import Call, OpenCall
from control_plane.jobs.rules import CallStatus
from control_plane.reconciliation.models import ProxySpendLog, Reconciliation, SpendLog
from control_plane.reconciliation.rules import RecordedCall, ReportedAttempt
from control_plane.replicas.models import Worker
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, values_of
from control_plane.storage.upsert import upsert
from control_plane.storage.usage_columns import USAGE_COLUMNS, usage_from

LAST_MOMENTS = timedelta(minutes=1)
"""Before a server's last sign of life: what it had not reported then, it never did."""

CLOCKS_APART = timedelta(hours=1)
"""At most: the clock that ids are made by, and the one that a report's times come from."""


async def count_calls(reader: Reader, *, after: UUID, since: datetime) -> int:
    """The number of calls after an id and since a time."""
    wanted = (col(Call.id) > after, col(Call.created_at) >= since)
    return int((await reader.execute(select(func.count()).where(*wanted))).scalar_one())


async def list_ended(
    reader: Reader, *, after: UUID, since: datetime, deployments: Collection[str] | None, limit: int
) -> Sequence[RecordedCall]:
    """The next calls behind an id that have ended, in the order of their ids; of some deployments, or of all."""
    statement = (
        select(
            col(Call.id),
            col(Call.job_id),
            col(Call.team_id),
            col(Call.model_group),
            col(Call.model),
            col(Call.deployment_id),
            col(Call.status),
            col(Call.prompt_tokens),
            col(Call.completion_tokens),
            col(Call.is_estimated),
            *(getattr(Call, name) for name in USAGE_COLUMNS),
            col(Call.cost_nano_usd),
            col(Call.is_unpriced),
            col(Call.is_cached),
            col(Call.ended_at),
            col(Worker.seen_at).label("server_seen_at"),
        )
        .outerjoin(Worker, and_(col(Worker.id) == col(Call.worker_id), col(Worker.died_at).is_not(None)))
        .where(col(Call.id) > after, col(Call.status) != CallStatus.OPEN.value, col(Call.created_at) >= since)
        .order_by(col(Call.id))
        .limit(limit)
    )
    if deployments is not None:
        statement = statement.where(col(Call.deployment_id).in_(deployments))
    return [
        RecordedCall(
            call_id=row.id,
            job_id=row.job_id,
            team_id=row.team_id,
            model=row.model or row.model_group,
            deployment_id=row.deployment_id,
            status=CallStatus(row.status),
            usage=usage_from(row, is_estimated=row.is_estimated),
            cost=row.cost_nano_usd,
            is_unpriced=row.is_unpriced,
            ended_at=row.ended_at,
            server_died=row.server_seen_at is not None and row.ended_at > row.server_seen_at - LAST_MOMENTS,
            is_cached=row.is_cached,
        )
        for row in await reader.execute(statement)
    ]


async def list_attempts(
    reader: Reader, table: type[SpendLog] | type[ProxySpendLog], call_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[ReportedAttempt]]:
    """The reports of some calls."""
    attempts: defaultdict[UUID, list[ReportedAttempt]] = defaultdict(list)
    for row in await reader.execute(_attempts(table).where(col(table.call_id).in_(call_ids))):
        attempts[row.call_id].append(_attempt(row))
    return attempts


async def list_strays(
    reader: Reader,
    table: type[SpendLog] | type[ProxySpendLog],
    *,
    since: datetime,
    limit: int,
    archived_until: datetime | None = None,
) -> Sequence[ReportedAttempt]:
    """Reports of calls that do not exist. Our own logs are found by their ids, which are of the time they were written.

    `archived_until`: of calls before that month it is not known any more whether they existed.
    """
    statement = (
        _attempts(table)
        .outerjoin(OpenCall, col(OpenCall.id) == col(table.call_id))
        .outerjoin(Call, col(Call.id) == col(table.call_id))
        .where(col(OpenCall.id).is_(None), col(Call.id).is_(None), col(table.started_at) >= since)
        .limit(limit)
    )
    if table is SpendLog:
        statement = statement.where(col(SpendLog.id) >= first_id_at(since - CLOCKS_APART))
    if archived_until is not None:
        kept = col(table.call_id) >= first_id_at(archived_until)
        statement = statement.where(or_(kept, col(table.call_id).is_(None)))
    return [_attempt(row) for row in await reader.execute(statement)]


async def import_logs(tx: Tx, logs: Sequence[ProxySpendLog]) -> None:
    """Stores a proxy's logs; existing ones are updated."""
    if not logs:
        return
    added = upsert(tx.dialect.name, ProxySpendLog)
    changing = [column.name for column in added.table.columns if column.name != "request_id"]
    statement = added.on_conflict_do_update(
        index_elements=["request_id"], set_={name: added.excluded[name] for name in changing}
    )
    await tx.execute(statement, [values_of(log) for log in logs])


async def drop_logs(tx: Tx, *, before: datetime, limit: int) -> int:
    """Drops spend logs written before that time, at most so many; returns how many."""
    ours = col(SpendLog.id)
    oldest = select(ours).where(ours < first_id_at(before)).order_by(ours).limit(limit)
    dropped: int = (await tx.execute(delete(SpendLog).where(ours.in_(oldest)))).rowcount
    return dropped


async def drop_imported(tx: Tx, *, before: datetime, limit: int) -> int:
    """Drops proxies' logs of calls from before that time, at most so many; returns how many."""
    proxies = col(ProxySpendLog.request_id)
    imported = select(proxies).where(col(ProxySpendLog.started_at) < before).limit(limit)
    dropped: int = (await tx.execute(delete(ProxySpendLog).where(proxies.in_(imported)))).rowcount
    return dropped


async def add(tx: Tx, made: Reconciliation) -> None:
    """Keeps a comparison."""
    await tx.execute(insert(Reconciliation), values_of(made))


async def list_made(
    reader: Reader, *, limit: int, before: UUID | None = None, source: str | None = None
) -> Sequence[Reconciliation]:
    """The comparisons, of one source or of both, newest first; `before` is the id of the last one seen."""
    statement = every(Reconciliation).order_by(col(Reconciliation.id).desc()).limit(limit)
    if before is not None:
        statement = statement.where(col(Reconciliation.id) < before)
    if source is not None:
        statement = statement.where(col(Reconciliation.source) == source)
    return many(Reconciliation, await reader.execute(statement))


async def list_lost(reader: Reader, *, since: datetime, before: UUID | None, limit: int) -> Sequence[Call]:
    """Lost calls of all teams, newest first; `before` is the id of the last one seen."""
    statement = (
        every(Call)
        .where(col(Call.status) == CallStatus.LOST.value, col(Call.created_at) >= since)
        .order_by(col(Call.id).desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(col(Call.id) < before)
    return many(Call, await reader.execute(statement))


def _attempts(table: type[SpendLog] | type[ProxySpendLog]) -> Select[*tuple[Any, ...]]:
    return select(
        col(table.call_id), col(table.status), col(table.cost_nano_usd), col(table.started_at), col(table.model)
    )


def _attempt(row: Any) -> ReportedAttempt:
    return ReportedAttempt(
        call_id=row.call_id,
        is_success=row.status == "success",
        cost=row.cost_nano_usd,
        started_at=row.started_at,
        model=row.model,
    )
