"""A transaction whose client froze keeps nobody from its rows for long, and a lock is not a database that is away."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from control_plane.errors import DatabaseBusy
from control_plane.storage.database import Database, Tx
from control_plane.storage.faults import as_ours

LOCK = "SELECT 1 FROM alembic_version FOR UPDATE"


async def locked(tx: Tx) -> None:
    await tx.execute(text(LOCK))


async def test_a_row_that_stays_locked_is_busy_and_not_an_outage(postgres_url: str) -> None:
    """On every way to a connection: in one go, statement by statement, in the background."""
    db = Database(postgres_url, answer_timeout_s=1)
    background = db.beside(1)
    async with await psycopg.AsyncConnection.connect(postgres_url) as other:
        await other.execute(LOCK)
        for each in (db, background):
            with pytest.raises(DatabaseBusy) as in_one_go:
                await each.run_in_thread(locked)
            assert in_one_go.value.retry_after_s
            with pytest.raises(DatabaseBusy):
                async with each.transaction() as tx:
                    await locked(tx)
        with pytest.raises(DatabaseBusy):  # long work waits for no lock either
            async with db.transaction(is_long=True) as tx:
                await locked(tx)
    await db.run_in_thread(locked)
    await background.aclose()
    await db.aclose()


async def test_a_transaction_whose_client_is_silent_is_ended_by_the_server(postgres_url: str) -> None:
    frozen, other = Database(postgres_url, answer_timeout_s=0.5), Database(postgres_url)

    async def lock_and_be_silent() -> None:
        async with frozen._backend.transaction() as tx:  # past our own timeout, as a frozen process is
            await tx.execute(text(LOCK))
            await other.run_in_thread(locked)
            await tx.execute(text("SELECT 1"))

    with pytest.raises(InternalError, match="idle-in-transaction timeout") as ended:
        await lock_and_be_silent()
    assert isinstance(as_ours(ended.value), DatabaseBusy)
    await frozen.check()
    await frozen.aclose()
    await other.aclose()


async def test_a_heartbeat_goes_before_customers_that_wait_for_the_writer_of_sqlite(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    urgent = db.beside(1, is_urgent=True)
    order: list[str] = []

    async def write(whose: Database, name: str) -> None:
        async with whose.transaction():
            order.append(name)

    async with asyncio.TaskGroup() as group, db.transaction():
        for number in range(3):
            group.create_task(write(db, f"customer {number}"))
        await asyncio.sleep(0)
        group.create_task(write(urgent, "heartbeat"))
        await asyncio.sleep(0)
    assert order == ["heartbeat", "customer 0", "customer 1", "customer 2"]
    await db.aclose()
