"""Two servers on one Postgres take their locks in one order: jobs, then balances (D16)."""

import asyncio

import pytest

from control_plane.calls.write_items import Item, Opening
from control_plane.credits import store as credits_store
from control_plane.jobs import store
from control_plane.storage.database import Database
from tests.jobs.test_batches import TEAMS, Bench, closing, creation, intent
from tests.support.services import ACME

ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@ON_POSTGRES
@pytest.mark.parametrize("with_it", ["job of another team", "call of the same", "opening of the same"])
async def test_a_batch_waits_for_a_job_before_it_takes_a_balance(db: Database, with_it: str) -> None:
    bench = await Bench.on(db)
    held, new = creation(), creation()
    await bench.write(held)
    others: dict[str, Item] = {
        "job of another team": creation(team=TEAMS[1]),
        "call of the same": intent(held.job_id),
        "opening of the same": Opening(new, intent(new.job_id)),
    }
    async with db.transaction() as tx:
        await store.lock(tx, ACME, held.job_id)
        writing = asyncio.create_task(bench.write(closing(held.job_id), others[with_it]))
        await asyncio.sleep(0.3)  # it waits for the job by now
        async with asyncio.timeout(0.5):
            await credits_store.lock_balance(tx, ACME)
    await writing


@ON_POSTGRES
async def test_jobs_that_cost_nothing_are_counted_under_the_balance_of_their_team(db: Database) -> None:
    """The days' rows of what is closed and of what is made are written one after the other: their orders could cross."""
    bench = await Bench.on(db)
    done = creation("free")
    await bench.write(done)
    async with db.transaction() as tx:
        await credits_store.lock_balance(tx, ACME)
        writing = asyncio.create_task(bench.write(closing(done.job_id), creation("free")))
        await asyncio.wait([writing], timeout=0.5)
        assert not writing.done()
    await writing
