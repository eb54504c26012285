"""Who is dead, and who may say so: leases by the database's clock, later writes, clocks that are wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from control_plane.calls.writer import CallWriter
from control_plane.clock import now
from control_plane.ids import CallId, JobId, new_id
from control_plane.jobs.rules import Intent
from control_plane.jobs.values import NewJob
from control_plane.metrics import Metrics
from control_plane.replicas.heartbeat import Heartbeat, least_skew
from control_plane.replicas.lease import Lease
from control_plane.storage.database import Database
from tests.support.services import ACME, DomainServices

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shifted(by: timedelta) -> Callable[[], datetime]:
    return lambda: now() + by


async def with_open_call(db: Database, *, seconds_ago: int) -> None:
    """A worker that opened a call just now, and whose last heartbeat was so long ago."""
    services = DomainServices.on(db)
    services.clock.now = now()
    principal = await services.principal(await services.team())
    job_id = JobId((await services.jobs.create(principal, NewJob("any"))).id)
    worker_id = new_id()
    await Lease(db, worker_id, clock=shifted(-timedelta(seconds=seconds_ago))).check()
    intent = Intent(CallId(new_id()), job_id, ACME, "ChatAgent", True, None, {}, now())
    await CallWriter(db, worker_id, clock=now)._write([intent])
    if not db.is_sqlite:  # there a lease is written by its own clock, whatever the worker's
        await execute(db, f"UPDATE workers SET seen_at = seen_at - interval '{seconds_ago} s'")


async def execute(db: Database, statement: str, **values: object) -> None:
    async with db.transaction() as tx:
        await tx.execute(text(statement), values)


async def status(db: Database) -> str:
    async with db.reader() as reader:
        found: str = await reader.scalar(text("SELECT 'open' FROM open_calls UNION ALL SELECT status FROM calls"))
    return found


async def judge(db: Database) -> None:
    lease = Lease(db, new_id(), clock=now)
    await lease.check()
    await lease.give_up_dead()


async def test_a_worker_that_still_writes_is_not_dead_whatever_became_of_its_heartbeat(db: Database) -> None:
    await with_open_call(db, seconds_ago=40)
    await judge(db)
    assert await status(db) == "open"
    before = text("UPDATE open_calls SET created_at = :moment")
    async with db.transaction() as tx:
        await tx.execute(
            before.bindparams(moment=(now() - timedelta(seconds=35)).replace(tzinfo=None if db.is_sqlite else UTC))
        )
    await judge(db)
    assert await status(db) == "lost"


@pytest.mark.parametrize("off", [timedelta(hours=2), timedelta(seconds=-40)], ids=["ahead", "behind"])
async def test_a_replica_with_a_wrong_clock_judges_nobody_and_is_not_taken_for_dead(
    postgres_url: str, off: timedelta
) -> None:
    """One of these made everybody's calls lost, or its own."""
    db = Database(postgres_url)
    await with_open_call(db, seconds_ago=0)
    metrics = Metrics()
    wrong, right = Lease(db, new_id(), clock=shifted(off), metrics=metrics), Lease(db, new_id(), clock=now)
    for lease in (wrong, right):
        await lease.check()
    assert len(await right.list_replicas()) == len(await wrong.list_replicas()) == 3
    for lease in (wrong, right):
        await lease.give_up_dead()
    assert await status(db) == "open"
    await execute(
        db, "UPDATE workers SET seen_at = seen_at - interval '1 h' WHERE id = (SELECT worker_id FROM open_calls)"
    )
    await execute(db, "UPDATE open_calls SET created_at = created_at - interval '1 h'")
    await wrong.give_up_dead()
    assert await status(db) == "open"
    assert not await wrong.claim("sweep")
    assert await right.claim("sweep")
    [shown] = [line for line in metrics.exposed().decode().splitlines() if line.startswith("control_plane_clock_skew")]
    assert float(shown.split()[1]) == pytest.approx(-off.total_seconds(), abs=30)
    await db.aclose()


def test_waiting_for_the_processor_is_no_skew() -> None:
    minute = timedelta(minutes=1)
    assert least_skew(NOON, NOON + minute / 2, NOON + minute) == timedelta(0)
    assert least_skew(NOON, NOON + 3 * minute, NOON + minute) == 2 * minute
    assert least_skew(NOON, NOON - minute, NOON + minute) == -minute


def test_a_process_that_could_not_speak_begins_nothing_and_lets_the_others_speak_first() -> None:
    heartbeat = Heartbeat(timedelta(seconds=30))
    assert heartbeat.is_overdue(0), "it has not spoken yet"
    heartbeat.renewed(100)
    assert [heartbeat.is_overdue(moment) for moment in (115, 116)] == [False, True]
    heartbeat.failed(110)
    heartbeat.renewed(120)
    assert [heartbeat.may_judge(moment) for moment in (121, 139)] == [False, False]
    heartbeat.renewed(139)
    assert heartbeat.may_judge(140)
