"""What is done from time to time is done by one process at a time, and by another when that one dies."""

import pytest
from sqlalchemy import text

from control_plane.clock import now
from control_plane.errors import DatabaseUnavailable
from control_plane.ids import new_id
from control_plane.replicas.lease import Lease
from control_plane.storage.database import Database
from control_plane.sweeper import Sweeper


async def test_one_process_sweeps_and_another_when_that_one_has_left(postgres_url: str) -> None:
    db = Database(postgres_url)
    one, two = Lease(db, new_id(), clock=now), Lease(db, new_id(), clock=now)
    await one.check()
    await two.check()
    assert [await each.claim("sweep") for each in (one, two, one)] == [True, False, True]
    assert await two.claim("something else")
    await one.end()
    assert await two.claim("sweep")
    await db.aclose()


async def test_one_that_froze_while_it_swept_is_replaced_when_its_claim_runs_out(postgres_url: str) -> None:
    """A lock that lives as long as its session would keep everybody from sweeping, as long as it is frozen."""
    db = Database(postgres_url)
    frozen, other = Lease(db, new_id(), clock=now), Lease(db, new_id(), clock=now)
    await frozen.check()
    await other.check()
    assert await frozen.claim("sweep")
    assert not await other.claim("sweep")
    async with db.transaction() as tx:
        await tx.execute(text("UPDATE periodic_tasks SET claimed_until = claimed_until - interval '31 s'"))
    assert await other.claim("sweep")
    await db.aclose()


async def always(_name: str) -> bool:
    return True


async def test_a_chore_that_fails_keeps_no_other_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    async def breaks() -> None:
        raise ValueError("broken")

    async def works() -> None:
        done.append(1)

    assert await Sweeper("due", {"breaks": breaks, "works": works}, always).sweep()
    assert done == [1]
    assert "periodic_task_failed" in caplog.text


async def test_a_database_that_is_away_ends_the_sweep() -> None:
    async def is_away() -> None:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await Sweeper("due", {"first": is_away}, always).sweep()
