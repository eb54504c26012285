"""An administrator's movements of credits, on both databases: refused by the database, never by a look before."""

import asyncio

import pytest

from control_plane.credits.rules import EntryKind, Movement, hold, settle
from control_plane.credits.store import MAX_CREDITS
from control_plane.credits.values import Balance
from control_plane.errors import AdminOnly, AlreadyExists, Conflict, InsufficientCredits, TeamNotFound, TeamNotOwned
from control_plane.ids import TeamId, new_id
from control_plane.units import Credits
from tests.credits.ledgers import check_ledger, post
from tests.support.services import ACME, ADMIN, DomainServices


async def test_every_movement_is_in_the_ledger_with_who_and_why(services: DomainServices) -> None:
    await services.team(credits_allocated=100)
    assert (await services.credits.add(ADMIN, ACME, 50, reason="paid")).available == 150
    assert (await services.credits.adjust(ADMIN, ACME, -30, reason="typo")).available == 120
    newest, before, first = await services.credits.transactions(ADMIN, ACME, limit=10, before=None)
    assert (newest.kind, newest.available_delta, newest.available_after) == ("adjustment", -30, 120)
    assert (newest.reason, newest.actor, newest.number) == ("typo", "admin", 3)
    assert (before.kind, before.available_delta, before.number) == ("grant", 50, 2)
    assert (first.kind, first.available_delta, first.number) == ("grant", 100, 1)
    assert await services.credits.balance(ADMIN, ACME) == Balance(allocated=120, used=0, available=120, held=0)


async def test_the_ledger_is_read_page_by_page_without_gaps(services: DomainServices) -> None:
    await services.team(credits_allocated=1)
    for _ in range(6):
        await services.credits.add(ADMIN, ACME, 1, reason="more")
    first = await services.credits.transactions(ADMIN, ACME, limit=4, before=None)
    second = await services.credits.transactions(ADMIN, ACME, limit=4, before=first[-1].number)
    assert [entry.number for entry in (*first, *second)] == [7, 6, 5, 4, 3, 2, 1]


async def test_an_adjustment_takes_what_is_available_and_nothing_that_is_held(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await post(services, hold(6), "a job")
    with pytest.raises(InsufficientCredits) as refused:
        await services.credits.adjust(ADMIN, ACME, -5, reason="too much")
    assert refused.value.facts == {"credits_needed": 5, "credits_available": 4}
    assert (await services.credits.adjust(ADMIN, ACME, -4, reason="all there is")).available == 0
    assert len(await services.credits.transactions(ADMIN, ACME, limit=10, before=None)) == 3


async def test_a_hundred_adjustments_at_once_never_take_more_than_there_is(services: DomainServices) -> None:
    await services.team(credits_allocated=30)
    results = await asyncio.gather(
        *(services.credits.adjust(ADMIN, ACME, -7, reason="race") for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Balance) for result in results) == 4
    assert sum(isinstance(result, InsufficientCredits) for result in results) == 16
    assert (await services.credits.balance(ADMIN, ACME)).available == 2


async def test_a_refund_gives_back_at_most_what_was_used(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await post(services, hold(4), "a job")
    for movement in settle(Credits(3), 4):
        await post(services, movement, "a job")
    with pytest.raises(Conflict):
        await services.credits.refund(ADMIN, ACME, 4, reason="more than used")
    assert await services.credits.refund(ADMIN, ACME, 3, reason="sorry") == Balance(10, used=0, available=10, held=0)


async def test_nobody_is_given_more_than_json_can_count(services: DomainServices) -> None:
    await services.team(credits_allocated=MAX_CREDITS - 1)
    assert (await services.credits.add(ADMIN, ACME, 1, reason="the last one")).allocated == MAX_CREDITS
    for move in (services.credits.add, services.credits.adjust):
        with pytest.raises(Conflict):
            await move(ADMIN, ACME, 1, reason="one too many")
    assert (await services.credits.balance(ADMIN, ACME)).allocated == MAX_CREDITS


async def test_a_movement_of_a_kind_happens_once_for_a_ref(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await post(services, Movement(EntryKind.GRANT, available=5), "order 7")
    with pytest.raises(AlreadyExists):
        await post(services, Movement(EntryKind.GRANT, available=5), "order 7")
    assert (await services.credits.balance(ADMIN, ACME)).available == 15


async def test_a_request_taken_up_again_moves_its_credits_once(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    ref = new_id()
    balances = await asyncio.gather(*(services.credits.add(ADMIN, ACME, 5, reason="paid", ref=ref) for _ in range(4)))
    assert {balance.available for balance in balances} == {15}
    assert (await services.credits.adjust(ADMIN, ACME, -15, reason="all", ref=ref)).available == 0
    assert (await services.credits.adjust(ADMIN, ACME, -15, reason="all", ref=ref)).available == 0
    await check_ledger(services)


async def test_a_team_reads_its_own_credits_and_moves_none(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    other = await services.principal(await services.team("other"))
    assert (await services.credits.balance(principal, ACME)).available == 100
    for read in (
        services.credits.balance(other, ACME),
        services.credits.transactions(other, ACME, limit=1, before=None),
    ):
        with pytest.raises(TeamNotOwned):
            await read
    for move in (services.credits.add, services.credits.refund, services.credits.adjust):
        with pytest.raises(AdminOnly):
            await move(principal, ACME, 1, reason="for me")


@pytest.mark.parametrize("name", ["nobody", "\x00", "a b", "", "x" * 200])
async def test_an_unknown_or_impossible_team_is_not_found(services: DomainServices, name: str) -> None:
    for ask in (
        services.credits.balance(ADMIN, TeamId(name)),
        services.credits.transactions(ADMIN, TeamId(name), limit=1, before=None),
        services.credits.add(ADMIN, TeamId(name), 1, reason="x"),
    ):
        with pytest.raises(TeamNotFound):
            await ask
