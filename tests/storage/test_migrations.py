"""The migrations lead to the schema the code expects, can be run again, and take along what was there."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import SQLModel

from control_plane.administration.ledger_verification import LedgerVerifier
from control_plane.administration.values import KeyTerms
from control_plane.completion.usage import Usage
from control_plane.credits import models as credit_tables
from control_plane.credits.models import UnbilledCost
from control_plane.idempotency import models as idempotency_tables
from control_plane.ids import JobId, TeamId
from control_plane.jobs import calls_store
from control_plane.jobs import models as job_tables
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.values import Closing, NewJob
from control_plane.model_groups import models as grant_tables
from control_plane.rate_limits import UNLIMITED
from control_plane.reconciliation import models as spend_tables
from control_plane.schemas.credits import DEFAULT_PRIORITY
from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate, pending
from control_plane.storage.partitions import TABLES as PARTITIONED
from control_plane.storage.rows import every, many
from control_plane.storage.usage_columns import usage_from
from control_plane.tenants import models as tenant_tables
from control_plane.tenants import store as tenants_store
from control_plane.tenants.principal import Principal
from tests.storage.old_schema import BILLED, LEDGER, OPEN, add_call, make_first_schema
from tests.support.databases import Postgres
from tests.support.services import ACME, ADMIN, DomainServices

TABLES = (
    tenant_tables,
    grant_tables,
    credit_tables,
    job_tables,
    spend_tables,
    idempotency_tables,
)  # imported, so that the metadata has them


def is_of_the_models(name: str | None, kind: str, _parents: object) -> bool:
    """Partitions are part of tables that the models have."""
    return kind != "table" or name is None or not name.startswith(tuple(f"{table}_" for table in PARTITIONED))


def differences(connection: Connection) -> list[object]:
    opts = {"compare_type": True, "compare_server_default": True, "include_name": is_of_the_models}
    context = MigrationContext.configure(connection, opts=opts)
    return list(compare_metadata(context, SQLModel.metadata))


async def test_a_migrated_database_is_what_the_models_say(db: Database) -> None:
    async with db.reader() as reader:
        assert await reader.run_sync(differences) == []


async def test_migrating_again_changes_nothing(db: Database) -> None:
    assert await pending(db) == []
    await migrate(db)
    assert await pending(db) == []


async def test_an_empty_database_says_which_migrations_it_lacks(tmp_path: object) -> None:
    db = Database(f"sqlite:///{tmp_path}/new/empty.db")
    try:
        assert (await pending(db))[0] == "0001"
    finally:
        await db.aclose()


@pytest_asyncio.fixture
async def empty_postgres_url(postgres: Postgres) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    await postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres.url_of(name)
    await postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", "postgres"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/old.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest_asyncio.fixture
async def old_db(old_url: str) -> AsyncIterator[Database]:
    """A database of the first schema, with LEDGER and jobs in it."""
    database = Database(old_url)
    await make_first_schema(database)
    yield database
    await database.aclose()


async def rows_of(db: Database, query: str) -> list[tuple[Any, ...]]:
    """What a query finds; days as text, as SQLite has them."""
    async with db.transaction() as tx:
        rows = await tx.execute(text(query))
        return [tuple(str(value) if isinstance(value, date) else value for value in row) for row in rows]


async def test_a_ledger_of_the_first_schema_is_in_order_after_the_migration(old_db: Database) -> None:
    before = await rows_of(old_db, "SELECT * FROM credit_balances ORDER BY team_id")
    await migrate(old_db)
    columns = "team_id, allocated, used, available, held, entries"
    assert await rows_of(old_db, f"SELECT {columns} FROM credit_balances ORDER BY team_id") == before
    found = await LedgerVerifier(old_db).run()
    assert found.discrepancies == []
    assert (found.teams, found.entries, found.jobs) == (4, sum(len(moves) for moves in LEDGER.values()), 6)
    with pytest.raises(DatabaseError, match="append-only"):
        await rows_of(old_db, "DELETE FROM ledger_entries")


async def test_what_was_left_before_the_migration_is_a_grant_that_never_expires(old_db: Database) -> None:
    await migrate(old_db)
    query = "SELECT team_id, amount, remaining, priority, expires_at FROM credit_grants ORDER BY team_id"
    assert await rows_of(old_db, query) == [
        ("acme", 92, 90, DEFAULT_PRIORITY, None),
        ("broke", 5, 0, DEFAULT_PRIORITY, None),  # overdrawn
        ("large", 2100, 2100, DEFAULT_PRIORITY, None),
    ]


async def test_a_migrated_team_goes_on_where_it_stood(old_db: Database) -> None:
    await migrate(old_db)
    services = DomainServices.on(old_db)
    principal = Principal(team_id=ACME)
    closed = await services.jobs.complete(
        principal, JobId((await services.jobs.create(principal, NewJob("report"))).id), Closing(JobStatus.CANCELLED)
    )
    assert (closed.job.credits_charged, closed.job.credits_remaining) == (0, 90)
    await services.credits.adjust(ADMIN, ACME, -20, reason="less")
    await services.credits.add(ADMIN, TeamId("broke"), 10, reason="paid")
    await services.administration.refunds.refund(ADMIN, ACME, JobId(BILLED), 2, reason="the rest", force=True)
    assert (await LedgerVerifier(old_db).run()).discrepancies == []


async def test_code_from_before_goes_on_writing_calls_that_used_nothing_by_kind(old_db: Database) -> None:
    """It names none of the new columns: the replicas that are replaced last write beside those that know them."""
    await migrate(old_db)
    async with old_db.transaction() as tx:
        await tx.run_sync(partial(add_call, job_id=OPEN, status="succeeded", tokens=9))
    async with old_db.transaction() as tx:
        calls = many(job_tables.Call, await tx.execute(every(job_tables.Call)))
    assert len(calls) == 10
    for call in calls:
        assert usage_from(call) == Usage(call.prompt_tokens, call.completion_tokens)
        assert calls_store.fault_in(call) is None


async def test_teams_and_keys_of_before_have_the_usual_limits(old_db: Database) -> None:
    await migrate(old_db)
    limits = "rpm, tpm, max_parallel_calls, jobs_per_minute"
    assert await rows_of(old_db, f"SELECT DISTINCT {limits} FROM teams") == [(60, 60_000, None, 100)]
    made = await DomainServices.on(old_db).administration.keys.create(ADMIN, ACME, KeyTerms())
    principal = await DomainServices.on(old_db).keys.authenticate(made.secret)
    assert (principal.key_rate_limits, principal.key_groups) == (UNLIMITED, None)


async def test_usage_before_the_migration_is_summed_up_by_day(old_db: Database) -> None:
    await migrate(old_db)
    assert await rows_of(old_db, "SELECT * FROM job_days ORDER BY team_id, day, job_type") == [
        # team, day, type, jobs, completed, failed, cancelled, expired, charged
        ("acme", "2026-02-28", "chat", 1, 0, 0, 0, 1, 0),
        ("acme", "2026-02-28", "report", 3, 2, 1, 0, 0, 3),
        ("acme", "2026-03-01", "report", 1, 0, 0, 0, 0, 0),
        ("broke", "2026-02-28", "report", 1, 1, 0, 0, 0, 12),
    ]
    assert await rows_of(old_db, "SELECT * FROM usage_days ORDER BY team_id, day, job_type, model_group") == [
        # team, day, type, group, calls, succeeded, failed, prompt tokens, completion tokens, cost, price, unbilled
        ("acme", "2026-02-28", "report", "ChatAgent", 5, 2, 3, 22, 220, 1500, 1500, 90),
        ("acme", "2026-02-28", "report", "Other", 1, 0, 1, 0, 0, 0, 0, 0),
        ("acme", "2026-03-01", "report", "ChatAgent", 1, 1, 0, 9, 90, 90, 90, 0),
        ("broke", "2026-02-28", "report", "ChatAgent", 1, 1, 0, 12, 120, 1200, 1200, 0),
    ]


async def test_costs_before_the_migration_are_where_the_new_rules_look_for_them(old_db: Database) -> None:
    await migrate(old_db)
    assert await rows_of(old_db, "SELECT team_id, open_cost_nano_usd FROM credit_balances ORDER BY team_id") == [
        ("acme", 90),
        ("broke", 0),
        ("large", 0),
        ("zero", 0),
    ]
    async with old_db.reader() as reader:
        [unbilled] = many(UnbilledCost, await reader.execute(every(UnbilledCost)))
    assert (unbilled.team_id, unbilled.cost_nano_usd) == ("acme", 860)
    assert unbilled.hour == datetime(2026, 3, 1, tzinfo=UTC)
    columns = "day, cost_nano_usd, price_nano_usd, unbilled_nano_usd, calls_delivered"
    assert await rows_of(old_db, f"SELECT {columns} FROM jobs ORDER BY id") == [
        ("2026-02-28", 700, 700, 30, 2),
        ("2026-02-28", 0, 0, 60, 0),
        ("2026-02-28", 800, 800, 0, 1),
        ("2026-02-28", 0, 0, 0, 0),
        ("2026-03-01", 90, 90, 0, 1),
        ("2026-02-28", 1200, 1200, 0, 1),
    ]


async def test_keys_before_the_migration_are_secret_and_work_from_no_page(old_db: Database) -> None:
    insert = (
        "INSERT INTO virtual_keys (id, team_id, name, prefix, secret_hash, created_at) "
        f"VALUES ('{'0' * 32}', 'acme', NULL, 'sk-old', 'hash-of-it', '2026-01-01 00:00:00')"
    )
    async with old_db.transaction() as tx:
        await tx.execute(text(insert))
    await migrate(old_db)
    async with old_db.reader() as reader:
        principal = await tenants_store.find_principal(reader, "hash-of-it")
    assert principal is not None
    assert (principal.team_id, principal.is_publishable, principal.origins) == ("acme", False, frozenset())
    # a server of the version before goes on inserting keys without a kind
    async with old_db.transaction() as tx:
        await tx.execute(text(insert.replace("0" * 32, "1" * 32).replace("hash-of-it", "hash-of-next")))
    async with old_db.reader() as reader:
        after = await tenants_store.find_principal(reader, "hash-of-next")
    assert after is not None
    assert not after.is_publishable
