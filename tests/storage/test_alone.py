"""What is done from time to time is done by one process at a time, and by another when that one dies."""

import pytest

from control_plane.errors import DatabaseUnavailable
from control_plane.storage.database import Database
from control_plane.sweeper import Sweeper


async def test_one_process_sweeps_and_the_next_when_it_is_done(postgres_url: str) -> None:
    one, two = Database(postgres_url), Database(postgres_url)
    async with one.alone("sweep") as first:
        assert first
        async with two.alone("sweep") as second, two.alone("something else") as other:
            assert not second
            assert other
    async with two.alone("sweep") as now:
        assert now
    await one.aclose()
    await two.aclose()


async def test_a_chore_that_fails_keeps_no_other_from_being_done(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    done = []

    async def breaks() -> None:
        raise ValueError("broken")

    async def works() -> None:
        done.append(1)

    assert await Sweeper(db, "due", {"breaks": breaks, "works": works}).sweep()
    assert done == [1]
    assert "chore_failed" in caplog.text


async def test_a_database_that_is_away_ends_the_sweep(db: Database) -> None:
    async def is_away() -> None:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await Sweeper(db, "due", {"first": is_away}).sweep()
