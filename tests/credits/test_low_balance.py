"""A team that runs low says so once each time, in the transaction that made it low."""

import logging

import pytest

from control_plane.credits import posting
from control_plane.credits.rules import hold, settle
from control_plane.credits.values import EntryContext
from control_plane.errors import AdminOnly, InsufficientCredits, TeamNotFound, TeamNotOwned
from control_plane.ids import TeamId
from control_plane.units import Credits
from tests.credits.ledgers import post
from tests.support.services import ACME, ADMIN, DomainServices


async def events(services: DomainServices) -> list[tuple[str, int, int]]:
    found = await services.credits.events(ADMIN, ACME, limit=100)
    return [(event.kind, event.remaining, event.threshold) for event in found]


async def test_falling_below_the_threshold_is_an_event_and_staying_below_is_none(
    services: DomainServices, caplog: pytest.LogCaptureFixture
) -> None:
    await services.team(credits_allocated=12)
    await services.credits.set_low_balance(ADMIN, ACME, 10)
    for amount in (-2, -1, -1):
        await services.credits.adjust(ADMIN, ACME, amount, reason="spent")
    assert await events(services) == [("low_balance", 9, 10)]
    [line] = [record for record in caplog.records if record.message == "low_balance"]
    assert line.levelno == logging.WARNING
    await services.credits.add(ADMIN, ACME, 5, reason="paid")
    await services.credits.adjust(ADMIN, ACME, -10, reason="spent at once")
    assert await events(services) == [("low_balance", 3, 10), ("low_balance", 9, 10)]
    assert [event.remaining for event in await services.credits.events(ADMIN, ACME, limit=1)] == [3]
    first = await services.credits.events(ADMIN, ACME, limit=1)
    assert [event.remaining for event in await services.credits.events(ADMIN, ACME, limit=9, before=first[0].id)] == [9]


async def test_jobs_that_come_and_go_repeat_no_event_and_their_charge_is_one(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await services.credits.set_low_balance(ADMIN, ACME, 10)
    for number in range(3):
        await post(services, hold(5), f"job {number}")
        async with services.db.transaction() as tx:
            released = settle(Credits(0), 5)
            await posting.post(tx, ACME, released, EntryContext(f"job {number}", services.clock(), "test"))
    assert await events(services) == []
    await post(services, hold(5), "a job")
    async with services.db.transaction() as tx:
        await posting.post(tx, ACME, settle(Credits(2), 5), EntryContext("a job", services.clock(), "test"))
    assert await events(services) == [("low_balance", 8, 10)]


async def test_what_did_not_happen_is_no_event(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await services.credits.set_low_balance(ADMIN, ACME, 10)
    with pytest.raises(InsufficientCredits):
        await services.credits.adjust(ADMIN, ACME, -11, reason="too much")
    await services.credits.set_low_balance(ADMIN, ACME, None)
    await services.credits.adjust(ADMIN, ACME, -5, reason="nobody asked")
    assert await events(services) == []


async def test_who_may_set_it_and_who_may_look(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    other = await services.principal(await services.team("other"))
    with pytest.raises(AdminOnly):
        await services.credits.set_low_balance(principal, ACME, 1)
    with pytest.raises(TeamNotFound):
        await services.credits.set_low_balance(ADMIN, TeamId("nobody"), 1)
    assert await services.credits.events(principal, ACME, limit=1) == []
    for look in (services.credits.events(other, ACME, limit=1), services.credits.grants(other, ACME, limit=1)):
        with pytest.raises(TeamNotOwned):
            await look
