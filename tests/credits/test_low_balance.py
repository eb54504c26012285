"""A team that runs low says so once each time, in the transaction that made it low."""

import logging

import pytest

from control_plane.credits import posting
from control_plane.credits.rules import hold, settle
from control_plane.errors import AdminOnly, InsufficientCredits, TeamNotFound, TeamNotOwned
from control_plane.ids import TeamId
from control_plane.units import Credits
from tests.credits.ledgers import post
from tests.rooms import ACME, ADMIN, Rooms


async def events(rooms: Rooms) -> list[tuple[str, int, int]]:
    found = await rooms.credits.events(ADMIN, ACME, limit=100)
    return [(event.kind, event.remaining, event.threshold) for event in found]


async def test_falling_below_the_threshold_is_an_event_and_staying_below_is_none(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    await rooms.team(credits_allocated=12)
    await rooms.credits.set_low_balance(ADMIN, ACME, 10)
    for amount in (-2, -1, -1):
        await rooms.credits.adjust(ADMIN, ACME, amount, reason="spent")
    assert await events(rooms) == [("low_balance", 9, 10)]
    [line] = [record for record in caplog.records if record.message == "low_balance"]
    assert line.levelno == logging.WARNING
    await rooms.credits.add(ADMIN, ACME, 5, reason="paid")
    await rooms.credits.adjust(ADMIN, ACME, -10, reason="spent at once")
    assert await events(rooms) == [("low_balance", 3, 10), ("low_balance", 9, 10)]
    assert [event.remaining for event in await rooms.credits.events(ADMIN, ACME, limit=1)] == [3]
    first = await rooms.credits.events(ADMIN, ACME, limit=1)
    assert [event.remaining for event in await rooms.credits.events(ADMIN, ACME, limit=9, before=first[0].id)] == [9]


async def test_jobs_that_come_and_go_repeat_no_event_and_their_charge_is_one(rooms: Rooms) -> None:
    await rooms.team(credits_allocated=10)
    await rooms.credits.set_low_balance(ADMIN, ACME, 10)
    for number in range(3):
        await post(rooms, hold(5), f"job {number}")
        async with rooms.db.transaction() as tx:
            released = settle(Credits(0), 5)
            await posting.post_all(tx, ACME, released, ref=f"job {number}", now=rooms.clock(), actor="test")
    assert await events(rooms) == []
    await post(rooms, hold(5), "a job")
    async with rooms.db.transaction() as tx:
        await posting.post_all(tx, ACME, settle(Credits(2), 5), ref="a job", now=rooms.clock(), actor="test")
    assert await events(rooms) == [("low_balance", 8, 10)]


async def test_what_did_not_happen_is_no_event(rooms: Rooms) -> None:
    await rooms.team(credits_allocated=10)
    await rooms.credits.set_low_balance(ADMIN, ACME, 10)
    with pytest.raises(InsufficientCredits):
        await rooms.credits.adjust(ADMIN, ACME, -11, reason="too much")
    await rooms.credits.set_low_balance(ADMIN, ACME, None)
    await rooms.credits.adjust(ADMIN, ACME, -5, reason="nobody asked")
    assert await events(rooms) == []


async def test_who_may_set_it_and_who_may_look(rooms: Rooms) -> None:
    principal = await rooms.principal(await rooms.team())
    other = await rooms.principal(await rooms.team("other"))
    with pytest.raises(AdminOnly):
        await rooms.credits.set_low_balance(principal, ACME, 1)
    with pytest.raises(TeamNotFound):
        await rooms.credits.set_low_balance(ADMIN, TeamId("nobody"), 1)
    assert await rooms.credits.events(principal, ACME, limit=1) == []
    for look in (rooms.credits.events(other, ACME, limit=1), rooms.credits.grants(other, ACME, limit=1)):
        with pytest.raises(TeamNotOwned):
            await look
