"""The lock of SQLite's writer: first come, first served, urgent first, and who leaves is passed over."""

import asyncio

import pytest

from control_plane.storage.turns import Turns

LONG_S = 30.0


async def test_urgent_users_go_first_and_others_in_their_order() -> None:
    turns, order = Turns(), list[str]()

    async def take(name: str, *, is_urgent: bool = False) -> None:
        async with turns.held(is_urgent=is_urgent, within_s=LONG_S):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(take("a"), take("b"), take("c"), take("heartbeat", is_urgent=True))
    assert order == ["a", "heartbeat", "b", "c"]


async def test_who_waited_too_long_while_the_lock_was_passed_on_is_told_so() -> None:
    turns = Turns()
    holding = turns.held(is_urgent=False, within_s=LONG_S)
    await holding.__aenter__()
    waiting = [asyncio.create_task(_take(turns)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting[:2]:
        task.cancel()  # their futures are cancelled now, their tasks run later
    await holding.__aexit__(None, None, None)  # in between the lock passes over both
    for task in waiting[:2]:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await waiting[2] == "held"
    assert await _take(turns) == "held"


async def test_who_is_cancelled_as_the_lock_becomes_theirs_passes_it_on() -> None:
    turns = Turns()
    holding = turns.held(is_urgent=False, within_s=LONG_S)
    await holding.__aenter__()
    first, second = asyncio.create_task(_take(turns)), asyncio.create_task(_take(turns))
    await asyncio.sleep(0)
    await holding.__aexit__(None, None, None)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "held"


async def _take(turns: Turns) -> str:
    async with turns.held(is_urgent=False, within_s=LONG_S):
        return "held"
