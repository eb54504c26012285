"""Calls and spend logs by month, on a real Postgres: tables become partitioned while servers write to them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy import text

from control_plane import failpoints
from control_plane.calls.write_items import Written
from control_plane.calls.writer import CallWriter
from control_plane.errors import DatabaseBusy, Unprocessable
from control_plane.ids import CallId, JobId, first_id_at, new_id
from control_plane.jobs import calls_store
from control_plane.reconciliation.service import ReconciliationService
from control_plane.storage import partition_store
from control_plane.storage.database import Database, Tx
from control_plane.storage.migrate import migrate
from control_plane.storage.months import Month, Partition, first_month, is_late, missing, months_from, partition_of
from control_plane.storage.partitions import TABLES, drop, ensure, list_partitions, list_warnings
from tests.calls.test_writer import record, report
from tests.jobs.test_batches import Bench, creation, intent
from tests.storage.old_schema import make_first_schema
from tests.storage.test_migrations import differences
from tests.support.databases import Postgres
from tests.support.services import ACME, DomainServices, Watch

OLD_CALLS = 9
"""That `make_first_schema` leaves."""

STEPS: tuple[failpoints.Name, ...] = ("partitions_checked", "partitions_validated", "partitions_exchanged")

UPSERT = """INSERT INTO calls (id, job_id, team_id, worker_id, status, model_group, is_stream, metadata, prompt_tokens,
    completion_tokens, is_estimated, is_cached, cost_nano_usd, latency_ms, created_at)
    VALUES (%(id)s, %(id)s, 'acme', %(id)s, %(status)s, 'ChatAgent', false, '{}', 1, 1, false, false, 7, 1, now())
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, cost_nano_usd = excluded.cost_nano_usd
    WHERE calls.status = 'open' RETURNING id"""
"""As the version before writes how a call ended (D15)."""


LOG = """INSERT INTO spend_logs (id, call_id, request_id, status, model, model_group, deployment_id, provider,
    cost_nano_usd, prompt_tokens, completion_tokens, is_cached, started_at, ended_at)
    VALUES (:id, :id, '', 'success', '', '', '', '', 7, 1, 1, false, :at, :at)"""


@pytest_asyncio.fixture
async def old(postgres: Postgres) -> AsyncIterator[Database]:
    """A database with rows from before its tables were partitioned."""
    name = f"test_{uuid4().hex}"
    await postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    db = Database(postgres.url_of(name))
    await make_first_schema(db)
    await change(db, LOG, id=UUID(int=1), at=datetime(2026, 2, 28, tzinfo=UTC))
    await migrate(db)
    yield db
    await db.aclose()
    await postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest_asyncio.fixture
async def new(postgres_url: str) -> AsyncIterator[Database]:
    """A new database, whose tables were partitioned when it was made."""
    db = Database(postgres_url)
    yield db
    await db.aclose()


async def parts(db: Database, table: str = "calls") -> dict[str, Partition]:
    async with db.reader() as reader:
        return {each.name: each for each in await list_partitions(reader, table)}


async def scalar(db: Database, query: str) -> int:
    async with db.reader() as reader:
        return int(await reader.scalar(text(query)))


async def change(db: Database, statement: str, **values: object) -> None:
    async with db.transaction() as tx:
        await tx.execute(text(statement), values)


def url_of(db: Database) -> str:
    return db.url.set(drivername="postgresql").render_as_string(hide_password=False)


async def write_as_now(bench: Bench, until: asyncio.Event) -> list[UUID]:
    """Calls and their spend logs, as this version writes them."""
    made = creation()
    await bench.write(made)
    ids: list[UUID] = []
    while not until.is_set() or len(ids) < 20:
        opened = intent(made.job_id)
        for written in (*await bench.write(opened), *await bench.write(record(opened), report(opened))):
            assert isinstance(written, Written), written
        ids.append(opened.call_id)
    return ids


async def write_as_before(db: Database, until: asyncio.Event) -> list[UUID]:
    """Calls as the version before writes them: when they begin, and again when they end. The server keeps its plans."""
    ids: list[UUID] = []
    async with await psycopg.AsyncConnection.connect(url_of(db), autocommit=True, prepare_threshold=1) as connection:
        while not until.is_set() or len(ids) < 20:
            id_ = new_id()
            for status in ("open", "succeeded"):
                written = await connection.execute(UPSERT, {"id": id_, "status": status})
                assert written.rowcount == 1
            ids.append(id_)
    return ids


async def test_nothing_is_lost_or_doubled_while_tables_become_partitioned(old: Database) -> None:
    # given writers of both versions, and a reader whose lock keeps the tables from being exchanged at once
    services = DomainServices.on(old)
    bench = Bench(services, CallWriter(old, new_id(), clock=services.clock))
    done = asyncio.Event()

    async def convert() -> None:
        async with await psycopg.AsyncConnection.connect(url_of(old)) as reader:
            await reader.execute("SELECT count(*) FROM calls")
            with pytest.raises(DatabaseBusy):
                await ensure(old)
        await ensure(old)

    async def converting() -> None:
        try:
            await convert()
        finally:
            done.set()

    # when the tables become partitioned
    (now, before, before_too, _) = await asyncio.gather(
        write_as_now(bench, done), write_as_before(old, done), write_as_before(old, done), converting()
    )
    # then every call is there once, with its end, and so is every log
    async with old.reader() as reader:
        rows = (await reader.execute(text("SELECT id, status FROM calls WHERE cost_nano_usd = 7"))).all()
        assert sorted(row.id for row in rows) == sorted([*now, *before, *before_too])
        assert {row.status for row in rows} == {"succeeded"}
        assert await reader.run_sync(differences) == []
    assert await scalar(old, "SELECT count(DISTINCT call_id) FROM spend_logs") == 1 + len(now)
    assert await scalar(old, "SELECT count(*) FROM spend_logs") == 1 + len(now)
    # and this month is with what was there before, the next ones in partitions of their own
    present = Month.of(await old.clock())
    for table in TABLES:
        assert set(await parts(old, table)) == {
            f"{table}_{end}" for end in ("before", "default", present.plus(2).suffix)
        }
    assert await scalar(old, "SELECT count(*) FROM calls_before") == OLD_CALLS + len(now) + len(before) + len(
        before_too
    )
    await bench.check()


@pytest.mark.parametrize("step", STEPS)
async def test_a_conversion_that_breaks_off_is_finished_by_the_next_one(old: Database, step: failpoints.Name) -> None:
    failpoints.arm_failure(step)
    try:
        with pytest.raises(failpoints.InjectedFailure):
            await ensure(old)
    finally:
        failpoints.arm_failure(None)
    await change(old, "UPDATE calls SET latency_ms = 2")  # whatever is half done, writers go on
    later = (await old.clock()) + timedelta(days=62)
    await ensure(old, now=later)
    await ensure(old, now=later)
    found = await parts(old)
    assert found["calls_before"].upper is not None
    assert first_id_at(later) < found["calls_before"].upper, "begun anew: writers may not meet a CHECK of the past"
    assert await scalar(old, "SELECT count(*) FROM calls_before") == OLD_CALLS
    checks = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'calls_before%'"
    assert await scalar(old, checks) == 0


async def test_grants_go_along_and_what_would_be_cut_off_keeps_a_table_as_it_is(old: Database) -> None:
    role = f"reader_{uuid4().hex}"
    await change(old, f"CREATE ROLE {role}")
    try:
        await change(old, f"GRANT SELECT ON calls TO {role} WITH GRANT OPTION")
        await change(old, "CREATE VIEW dear_calls AS SELECT id FROM calls WHERE cost_nano_usd > 5")
        await ensure(old)
        assert (await parts(old), len(await parts(old, "spend_logs"))) == ({}, 3)
        assert await list_warnings(old) == ["calls cannot be partitioned by month: view dear_calls"]
        await change(old, "DROP VIEW dear_calls")
        await ensure(old)
        assert len(await parts(old)) == 3
        assert await list_warnings(old) == []
        assert await scalar(old, f"SELECT has_table_privilege('{role}', 'calls', 'SELECT WITH GRANT OPTION')::int") == 1
    finally:
        await change(old, f"DROP OWNED BY {role}")
        await change(old, f"DROP ROLE {role}")


async def test_a_row_of_a_month_without_partition_does_not_keep_it_from_getting_one(new: Database) -> None:
    now = await new.clock()
    months = [Month.of(now).plus(number) for number in range(5)]
    assert set(await parts(new)) == {f"calls_{each}" for each in ("before", "default", *(m.suffix for m in months[:3]))}
    async with new.transaction() as tx:
        for month, rows in ((months[3], 1), (months[4], partition_store.MOST_MOVED + 1)):
            for row in range(rows):
                id_ = first_id_at(month.start + timedelta(seconds=row + 1))
                await tx.execute(text(UPSERT.replace("%(id)s", f"'{id_}'").replace("%(status)s", "'open'")))
    await ensure(new, now=months[2].start)
    found = await parts(new)
    assert found[f"calls_{months[3].suffix}"].is_exactly(months[3])
    assert await scalar(new, f"SELECT count(*) FROM calls_{months[3].suffix}") == 1
    assert f"calls_{months[4].suffix}" not in found, "so many stay where they are"
    assert await scalar(new, "SELECT count(*) FROM calls_default") == partition_store.MOST_MOVED + 1
    assert await list_warnings(new) == ["calls_default has rows, of months that had no partition"]


async def test_retention_drops_the_months_that_are_over_and_no_row_of_another(new: Database) -> None:
    now = await new.clock()
    first = Month.of(now)
    await ensure(new, now=first.plus(2).start)
    moments = [first.plus(number).start + timedelta(days=days) for number in range(-1, 4) for days in (1, 20)]
    async with new.transaction() as tx:
        for moment in moments:
            await tx.execute(text(LOG), {"id": first_id_at(moment), "at": moment})
    clock = Watch(first.plus(3).start + timedelta(days=10))
    service = ReconciliationService(new, clock=clock, kept_for=timedelta(days=30))
    assert await service.drop_old_logs() == 2 + 2 * 2  # the month before the first, and two that are over
    assert await service.drop_old_logs() == 0
    left = await scalar(new, "SELECT count(*) FROM spend_logs")
    assert left == len(moments) - 6, "of the third month one is old enough, and the month is not over"
    assert f"spend_logs_{first.plus(1).suffix}" not in await parts(new, "spend_logs")
    assert f"spend_logs_{first.plus(2).suffix}" in await parts(new, "spend_logs")
    assert len(await parts(new)) == 2 + 5, "calls stay"
    assert await service.drop_logs(clock() - timedelta(days=30)) == 1, "who asks for it gets rid of each row"


async def test_a_partition_is_dropped_only_if_it_still_holds_what_was_exported(new: Database) -> None:
    month = Month.of(await new.clock())
    partition = (await parts(new, "spend_logs"))[f"spend_logs_{month.suffix}"]
    async with new.transaction() as tx:
        await tx.execute(text(LOG), {"id": first_id_at(month.start), "at": month.start})

    async def has(tx: Tx, count: int) -> bool:
        return int(await tx.scalar(text(f"SELECT count(*) FROM {partition.name}"))) == count

    assert await drop(new, "spend_logs", partition, only_if=partial(has, count=0)) == 0
    assert await scalar(new, "SELECT count(*) FROM spend_logs") == 1
    assert await drop(new, "spend_logs", partition, only_if=partial(has, count=1)) == 1
    assert partition.name not in await parts(new, "spend_logs")


async def test_a_backup_of_partitioned_tables_can_be_restored(old: Database, postgres: Postgres) -> None:
    import pgserver  # noqa: PLC0415 - for its programs, which the tests' Postgres comes with

    await ensure(old)
    tools = Path(pgserver.__file__).parent / "pginstall" / "bin"
    name = f"test_{uuid4().hex}"
    await postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    restored = Database(postgres.url_of(name))
    try:
        dumping = await asyncio.create_subprocess_exec(
            tools / "pg_dump", "--format=custom", url_of(old), stdout=asyncio.subprocess.PIPE
        )
        dump, _ = await dumping.communicate()
        restore = (tools / "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url_of(restored)}")
        restoring = await asyncio.create_subprocess_exec(*restore, stdin=asyncio.subprocess.PIPE)
        await restoring.communicate(dump)
        assert (dumping.returncode, restoring.returncode) == (0, 0)
        async with restored.reader() as reader:
            assert await reader.run_sync(differences) == []
        assert await parts(restored) == await parts(old)
        assert await scalar(restored, "SELECT count(*) FROM calls") == OLD_CALLS
    finally:
        await restored.aclose()
        await postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


async def test_calls_go_on_when_a_month_begins(new: Database) -> None:
    """The same statements, with plans that servers keep, write to partitions that were made after them."""
    bench = await Bench.on(new)
    made = creation("free")
    await bench.write(made)
    later = Month.of(await new.clock()).plus(3)
    ids: list[CallId] = []
    for number in range(16):
        if number == 8:
            await ensure(new, now=later.start)
        id_ = CallId(first_id_at(later.start + timedelta(seconds=number)))
        opened = intent(made.job_id)
        opened = type(opened)(id_, *(getattr(opened, name) for name in INTENT[1:]))
        await bench.write(opened)
        await bench.write(record(opened))
        ids.append(id_)
    assert await scalar(new, f"SELECT count(*) FROM calls_{later.suffix}") == len(ids)
    async with new.reader() as reader:
        assert [call.id for call in await calls_store.list_calls(reader, ACME, JobId(made.job_id))] == ids


INTENT = ("call_id", "job_id", "team_id", "model_group", "is_stream", "purpose", "metadata", "created_at")


@pytest.mark.parametrize("wrong", ["2026", "2026-13", "2026-1", "9999-01", "0000-01", "", "2026-01-01"])
def test_what_is_no_month_is_explained(wrong: str) -> None:
    with pytest.raises(Unprocessable, match="2026-01"):
        Month.parse(wrong)


def test_months_follow_each_other_over_the_years() -> None:
    december = Month.parse("2026-12")
    assert (december.plus(1), december.plus(-12), december.suffix) == (Month(2027, 1), Month(2025, 12), "2026_12")
    eve = datetime(2026, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert Month.of(eve) == december
    assert december.first_id <= first_id_at(eve) < december.plus(1).first_id
    assert first_month(eve, is_empty=False) == Month(2027, 2)
    assert first_month(eve, is_empty=True) == december
    assert months_from(december, eve) == [december, Month(2027, 1), Month(2027, 2)]
    assert [is_late(december.plus(2), december.plus(number).start) for number in (0, 1)] == [False, True]


def test_bounds_are_read_as_postgres_writes_them() -> None:
    month = Month(2026, 12)
    first, end = month.first_id, month.plus(1).first_id
    read = partition_of("a", f"FOR VALUES FROM ('{first}') TO ('{end}')")
    before = partition_of("b", f"FOR VALUES FROM (MINVALUE) TO ('{first}')")
    assert read.is_exactly(month)
    assert (read.is_month, before.is_month, before.upper) == (True, False, first)
    assert (before.is_over(first), before.is_over(UUID(int=first.int - 1))) == (True, False)
    assert partition_of("c", "DEFAULT") == Partition("c", is_default=True)
    assert missing([read, before], datetime(2026, 11, 5, tzinfo=UTC)) == [Month(2027, 1)]
