"""Calls that run while servers are replaced: those of the version before write them to `calls`, as `open`."""

from datetime import timedelta
from typing import Any

from sqlalchemy import insert, text

from control_plane.calls.write_items import Withdrawal, Written
from control_plane.clock import now
from control_plane.ids import CallId, JobId, new_id
from control_plane.jobs import calls_store
from control_plane.jobs.models import Call
from control_plane.jobs.rules import CallStatus, Intent
from control_plane.replicas.lease import Lease
from control_plane.storage.database import Database
from tests.calls.test_writer import record
from tests.jobs.test_batches import Bench, closing, creation, intent
from tests.support.services import ACME

WORKER = new_id()


async def opened_before(bench: Bench) -> Intent:
    """A call that a server of the version before has let into a job of its own."""
    made = creation()
    opened = intent(made.job_id)
    await bench.write(made)
    await bench.write(opened)
    async with bench.services.db.transaction() as tx:
        (running,) = await calls_store.list_calls(tx, ACME, made.job_id)
        columns = ("id", "job_id", "team_id", "model_group", "is_stream", "prompt_tokens", "created_at")
        row: dict[str, Any] = {name: getattr(running, name) for name in columns}
        row |= {"worker_id": WORKER, "status": "open", "metadata": {}, "completion_tokens": 0, "latency_ms": 0}
        row |= {"is_estimated": True, "is_cached": False, "cost_nano_usd": 0}
        await tx.execute(insert(Call), row)
        await tx.execute(text("DELETE FROM open_calls"))
    return opened


async def calls_of(bench: Bench, job_id: JobId) -> list[tuple[CallId, str]]:
    async with bench.services.db.reader() as reader:
        return [(CallId(call.id), call.status) for call in await calls_store.list_calls(reader, ACME, job_id)]


async def test_a_call_of_the_version_before_is_shown_ended_and_billed_once(db: Database) -> None:
    bench = await Bench.on(db)
    opened = await opened_before(bench)
    assert await calls_of(bench, opened.job_id) == [(opened.call_id, "open")]
    ended, again = await bench.write(record(opened)), await bench.write(record(opened))
    assert [each.is_first for (each,) in (ended, again) if isinstance(each, Written)] == [True, False]
    assert await calls_of(bench, opened.job_id) == [(opened.call_id, "succeeded")]
    (written,) = await bench.write(closing(opened.job_id))
    assert isinstance(written, Written)
    assert written.closed is not None
    assert written.closed.job.calls_succeeded == 1
    await bench.check()


async def test_a_call_of_the_version_before_is_withdrawn(db: Database) -> None:
    bench = await Bench.on(db)
    opened = await opened_before(bench)
    await bench.write(Withdrawal(opened))
    assert await calls_of(bench, opened.job_id) == [(opened.call_id, "failed")]


async def test_a_call_of_the_version_before_is_lost_with_its_server(db: Database) -> None:
    bench = await Bench.on(db)
    opened = await opened_before(bench)
    async with db.transaction() as tx:
        await tx.execute(text("UPDATE calls SET created_at = :long_ago"), {"long_ago": now() - timedelta(days=1)})
    lease = Lease(db, new_id(), clock=now)
    await lease.check()
    await lease.give_up_dead()
    assert await calls_of(bench, opened.job_id) == [(opened.call_id, CallStatus.LOST)]


async def test_a_call_is_in_one_table_at_a_time_and_keeps_the_server_that_made_it(db: Database) -> None:
    bench = await Bench.on(db)
    made = creation()
    opened = intent(made.job_id)
    await bench.write(made)
    await bench.write(opened)
    assert await calls_of(bench, made.job_id) == [(opened.call_id, "open")]
    await bench.write(record(opened))
    async with db.reader() as reader:
        assert (await reader.execute(text("SELECT id FROM open_calls"))).all() == []
        (call,) = await calls_store.list_calls(reader, ACME, made.job_id)
    assert (call.status, call.worker_id) == ("succeeded", bench.writer._worker_id)
    assert (call.purpose, call.model_group, call.created_at) == (None, "ChatAgent", opened.created_at)
