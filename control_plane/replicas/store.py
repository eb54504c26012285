"""SQL of the workers: their heartbeats, the calls they left behind, and the lock of the periodic tasks.

Every time here is the database's (`database_now`): the clocks of replicas differ.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, or_, select, union, update
from sqlmodel import col

from control_plane.ids import JobId, first_id_at
from control_plane.jobs import open_calls_store
from control_plane.jobs.calls_store import lock_jobs
from control_plane.jobs.models import Call, OpenCall
from control_plane.jobs.rules import CallStatus
from control_plane.replicas.models import PeriodicTask, Worker
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, values_of
from control_plane.storage.upsert import upsert


async def renew(tx: Tx, worker: Worker) -> None:
    """A process begins or lives, also one that was taken for dead."""
    alive = {"seen_at": worker.seen_at, "died_at": None, "generation": worker.generation}
    statement = upsert(tx.dialect.name, Worker).on_conflict_do_update(index_elements=["id"], set_=alive)
    await tx.execute(statement, values_of(worker))


async def bury(tx: Tx, worker_ids: Sequence[UUID], now: datetime) -> None:
    """Processes that were found dead."""
    await tx.execute(update(Worker).where(col(Worker.id).in_(worker_ids)).values(died_at=now))


async def last_seen(reader: Reader, worker_id: UUID) -> datetime | None:
    """The time of a process's last heartbeat; None: it ended, or was found dead."""
    statement = select(col(Worker.seen_at)).where(col(Worker.id) == worker_id, col(Worker.died_at).is_(None))
    found: datetime | None = await reader.scalar(statement)
    return found


async def list_alive(reader: Reader, *, since: datetime) -> Sequence[Worker]:
    """The processes with a heartbeat since then, the oldest first."""
    statement = every(Worker).where(col(Worker.seen_at) > since, col(Worker.died_at).is_(None))
    return many(Worker, await reader.execute(statement.order_by(col(Worker.started_at), col(Worker.id))))


async def remove(tx: Tx, worker_ids: Sequence[UUID]) -> None:
    """Processes that ended."""
    await tx.execute(delete(Worker).where(col(Worker.id).in_(worker_ids)))


async def list_silent(tx: Tx, asking: UUID, *, since: datetime) -> Sequence[UUID]:
    """Workers with open calls or their own row and without a heartbeat since then, except `asking`."""
    living = select(col(Worker.id)).where(col(Worker.seen_at) > since, col(Worker.died_at).is_(None))
    silent = select(col(Worker.id)).where(
        col(Worker.seen_at) <= since, col(Worker.died_at).is_(None), col(Worker.id) != asking
    )
    gone = select(col(OpenCall.worker_id)).where(
        col(OpenCall.worker_id) != asking, col(OpenCall.worker_id).not_in(living)
    )
    before = (
        select(col(Call.worker_id))
        .where(col(Call.status) == CallStatus.OPEN.value, col(Call.worker_id) != asking)
        .where(col(Call.worker_id).not_in(living))
    )
    return list((await tx.execute(union(silent, gone, before))).scalars())


async def list_writing(
    tx: Tx, worker_ids: Sequence[UUID], *, since: datetime, until: datetime, reach: timedelta
) -> Sequence[UUID]:
    """Those of the workers that have opened or ended a call since then: they work, whatever became of their heartbeat.

    Of calls that were opened `reach` before, at most: these are a range of the primary key. `until`: the times are those of
    the workers, and one in the future is of a clock that is wrong.
    """
    if not worker_ids:
        return []
    ended = (
        select(col(Call.worker_id))
        .where(col(Call.id) >= first_id_at(since - reach), col(Call.worker_id).in_(worker_ids))
        .where(col(Call.worker_id).in_(select(col(Worker.id))))  # a stopped worker has no row, and writes no more
        .where(col(Call.status) != CallStatus.LOST.value)
        .where(or_(col(Call.created_at).between(since, until), col(Call.ended_at).between(since, until)))
    )
    running = (
        select(col(OpenCall.worker_id))
        .where(col(OpenCall.worker_id).in_(worker_ids), col(OpenCall.created_at).between(since, until))
        .where(col(OpenCall.worker_id).in_(select(col(Worker.id))))
    )
    return list((await tx.execute(union(ended, running))).scalars())


async def claim_task(tx: Tx, name: str, worker_id: UUID, *, now: datetime, until: datetime) -> bool:
    """Whether the worker may do the tasks of this name until then: there is no other claim, or it has expired."""
    claim = PeriodicTask(name=name, worker_id=worker_id, claimed_until=until)
    is_free = or_(col(PeriodicTask.worker_id) == worker_id, col(PeriodicTask.claimed_until) <= now)
    statement = (
        upsert(tx.dialect.name, PeriodicTask)
        .on_conflict_do_update(
            index_elements=["name"], set_={"worker_id": worker_id, "claimed_until": until}, where=is_free
        )
        .returning(col(PeriodicTask.name))
    )
    return (await tx.execute(statement, values_of(claim))).first() is not None


async def give_up_tasks(tx: Tx, worker_id: UUID) -> None:
    """Another worker may do at once what this one did."""
    await tx.execute(delete(PeriodicTask).where(col(PeriodicTask.worker_id) == worker_id))


async def list_left_open(tx: Tx, worker_ids: Sequence[UUID]) -> Sequence[Call]:
    """The open calls of dead workers. Their jobs are locked."""
    if not worker_ids:
        return []
    found = await open_calls_store.list_of_workers(tx, worker_ids)
    await lock_jobs(tx, {JobId(call.job_id) for call in found})
    return await open_calls_store.list_of_workers(tx, worker_ids)
