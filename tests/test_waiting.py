"""How long a request waits for its turn, and what of its time is no waiting."""

import asyncio

import pytest

from control_plane import waiting
from control_plane.errors import Overloaded
from control_plane.ids import JobId, new_id
from control_plane.jobs.idle import IdleJobs
from control_plane.lookups import Lookups
from control_plane.storage.pace import Pace


async def test_a_look_for_many_does_not_end_with_the_time_of_the_first() -> None:
    found: list[bool] = []

    async def look(_key: str) -> int:
        await asyncio.sleep(0.02)
        found.append(waiting.is_bounded())
        return 1

    known = Lookups(look, ttl_s=4, kept=10)

    async def hurried() -> int:
        waiting.wait_at_most(0.01)
        return await known.get("a")

    first = asyncio.create_task(hurried())
    await asyncio.sleep(0)
    assert await known.get("a") == 1
    assert found == [False]
    with pytest.raises(Overloaded):
        await first


async def test_a_completion_is_not_refused_for_the_time_of_the_one_before_it() -> None:
    calls_run = True

    async def is_idle(_job_id: JobId) -> bool:
        if waiting.left_s(1) == 0:
            raise Overloaded.after(1)
        return not calls_run

    idle, job_id = IdleJobs(is_idle), JobId(new_id())

    async def hurried() -> None:
        waiting.wait_at_most(0.05)
        await idle.wait(job_id, 0.1)

    first = asyncio.create_task(hurried())
    await asyncio.sleep(0)
    second = asyncio.create_task(idle.wait(job_id, 5))
    await first
    await asyncio.sleep(0.1)
    calls_run = False
    await second


@pytest.mark.parametrize("items", [8, 16, 100])
def test_a_database_that_stood_still_once_is_fast_again(items: int) -> None:
    pace, now = Pace(), 0.0
    for stood_still in (1, 20):
        pace.end(pace.begin(now), now := now + 10, stood_still)
    for _ in range(50):
        pace.end(pace.begin(now), now := now + 0.01, items)
    pace.begin(now)
    assert pace.wait_s(items, now) < 0.05
