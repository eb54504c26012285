"""One team's heavy work does not keep the others waiting."""

import asyncio

from control_plane.concurrency import TeamLimiter


async def test_a_team_waits_for_its_own_work_and_nobody_else_does() -> None:
    places = TeamLimiter(3, of_a_team=2)
    begun: list[str] = []
    goes_on = asyncio.Event()

    async def work(team: str) -> None:
        async with places.place(team):
            begun.append(team)
            await goes_on.wait()

    async with asyncio.TaskGroup() as group:
        for team in ("greedy", "greedy", "greedy", "greedy", "modest"):
            group.create_task(work(team))
        for _ in range(10):
            await asyncio.sleep(0)
        assert begun == ["greedy", "greedy", "modest"]
        goes_on.set()
    assert len(begun) == 5
