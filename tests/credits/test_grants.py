"""Which grants pay: by priority, expiry, age. And what is left when time takes them back."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.credits import posting
from control_plane.credits.grants import Grant, Terms, burn
from control_plane.credits.rules import EntryKind, Movement, hold, settle
from control_plane.credits.store import MAX_CREDITS
from control_plane.credits.values import Balance, EntryContext
from control_plane.errors import Conflict, Unprocessable
from control_plane.ids import TeamId
from control_plane.units import Credits
from tests.credits.ledgers import check_ledger, post
from tests.support.services import ACME, ADMIN, DomainServices

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def grant(number: int, remaining: int, priority: int = 100, *, expires: int | None = None, age: int = 0) -> Grant:
    expires_at = None if expires is None else NOW + expires * DAY
    return Grant(UUID(int=number), remaining, priority, expires_at, NOW - age * DAY)


@pytest.mark.parametrize(
    ("grants", "amount", "left"),
    [
        ([], 5, {}),
        ([grant(1, 5)], 0, {}),
        ([grant(1, 5)], 3, {1: 2}),
        ([grant(1, 5)], 5, {1: 0}),
        ([grant(1, 5)], 9, {1: 0}),  # overdrawn: the rest is nobody's
        ([grant(1, 5, 200), grant(2, 5, 100)], 7, {2: 0, 1: 3}),  # priority first
        ([grant(1, 5, 100, expires=1), grant(2, 5, 50)], 3, {2: 2}),  # even before what expires tomorrow
        ([grant(1, 5), grant(2, 5, expires=300)], 3, {2: 2}),  # what never expires comes last
        ([grant(1, 5, expires=30), grant(2, 5, expires=3)], 6, {2: 0, 1: 4}),
        ([grant(1, 5, age=1), grant(2, 5, age=9)], 6, {2: 0, 1: 4}),  # the older one
        ([grant(1, 5, expires=3, age=1), grant(2, 5, expires=3, age=9)], 6, {2: 0, 1: 4}),
        ([grant(2, 5), grant(1, 5)], 6, {1: 0, 2: 4}),  # made in the same moment: in the order of their ids
        ([grant(1, 0), grant(2, 5)], 6, {2: 0}),  # an empty one is not touched
        ([grant(1, 1), grant(2, 1), grant(3, 1)], 2, {1: 0, 2: 0}),
    ],
)
def test_grants_are_used_up_by_priority_then_expiry_then_age(
    grants: Sequence[Grant], amount: int, left: dict[int, int]
) -> None:
    assert burn(grants, amount) == {UUID(int=number): remaining for number, remaining in left.items()}


GRANTS = st.lists(
    st.builds(
        grant,
        st.integers(min_value=1),
        st.integers(min_value=0, max_value=10**15),
        st.integers(min_value=0, max_value=3),
        expires=st.none() | st.integers(min_value=-3, max_value=3),
        age=st.integers(min_value=0, max_value=3),
    ),
    max_size=12,
    unique_by=lambda each: each.id,
)


@given(grants=GRANTS, amount=st.integers(min_value=0, max_value=10**16), order=st.randoms(use_true_random=False))
def test_exactly_the_amount_is_taken_and_a_later_grant_only_when_all_before_are_empty(
    grants: list[Grant], amount: int, order: object
) -> None:
    touched = burn(grants, amount)
    after = {each.id: touched.get(each.id, each.remaining) for each in grants}
    assert sum(each.remaining - after[each.id] for each in grants) == min(amount, sum(g.remaining for g in grants))
    in_turn = sorted(grants, key=lambda each: each.turn)
    for earlier, later in pairwise(in_turn):
        if after[later.id] != later.remaining:
            assert after[earlier.id] == 0
    assert burn(in_turn[::-1], amount) == touched


@given(grants=GRANTS, amounts=st.lists(st.integers(min_value=0, max_value=10**14), max_size=5))
def test_many_small_charges_take_from_the_same_grants_as_one_large_one(grants: list[Grant], amounts: list[int]) -> None:
    left = {each.id: each for each in grants}
    for amount in amounts:
        for id_, remaining in burn(left.values(), amount).items():
            left[id_] = Grant(id_, remaining, left[id_].priority, left[id_].expires_at, left[id_].created_at)
    at_once = {each.id: each.remaining for each in grants} | dict(burn(grants, sum(amounts)))
    assert {id_: each.remaining for id_, each in left.items()} == at_once


async def left_of(services: DomainServices) -> list[int]:
    return [row.remaining for row in await services.credits.grants(ADMIN, ACME, limit=1000)]


async def charge(services: DomainServices, credits_: int, ref: str = "a job") -> None:
    """A job without calls in between, as far as the ledger knows it."""
    await post(services, hold(credits_), ref)
    await close(services, credits_, credits_, ref)


async def close(services: DomainServices, charged: int, held: int, ref: str = "a job") -> Balance:
    async with services.db.transaction() as tx:
        return await posting.post(tx, ACME, settle(Credits(charged), held), EntryContext(ref, services.clock(), "test"))


async def test_a_charge_takes_from_the_grants_in_their_turn(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    soon, later = (Terms(expires_at=services.clock() + days * DAY) for days in (1, 9))
    await services.credits.add(ADMIN, ACME, 20, reason="promotion", terms=later)
    await services.credits.add(ADMIN, ACME, 30, reason="trial", terms=soon)
    await services.credits.add(ADMIN, ACME, 40, reason="first of all", terms=Terms(priority=1))
    assert await left_of(services) == [40, 30, 20, 10]
    await charge(services, 45)
    assert await left_of(services) == [25, 20, 10]
    await services.credits.adjust(ADMIN, ACME, -46, reason="too much")
    assert await left_of(services) == [9]
    await check_ledger(services)


async def test_holding_and_releasing_touch_no_grant(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await post(services, hold(10), "a job")
    assert await left_of(services) == [10]
    await close(services, 0, 10)
    assert await left_of(services) == [10]
    await check_ledger(services)


async def test_what_pays_an_overdraft_is_not_left_of_a_new_grant(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await post(services, hold(10), "a job")
    assert (await close(services, 25, 10)).available == -15
    assert await left_of(services) == []
    assert (await services.credits.add(ADMIN, ACME, 10, reason="half of it")).available == -5
    assert await left_of(services) == []
    assert (await services.credits.add(ADMIN, ACME, 10, reason="the rest")).available == 5
    assert await left_of(services) == [5]
    await check_ledger(services)


async def test_a_refund_comes_back_as_credits_that_never_expire(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    await services.credits.add(ADMIN, ACME, 10, reason="trial", terms=Terms(expires_at=services.clock() + DAY))
    await charge(services, 10)
    await services.credits.refund(ADMIN, ACME, 4, reason="sorry")
    services.clock.move(2 * DAY)
    assert await services.credits.expire_grants() == 0
    [row] = await services.credits.grants(ADMIN, ACME, limit=10)
    assert (row.amount, row.remaining, row.expires_at) == (4, 4, None)
    await check_ledger(services)


async def test_a_hundred_small_grants_pay_a_large_charge(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    for _ in range(100):
        await services.credits.add(ADMIN, ACME, 2, reason="drop by drop")
    await charge(services, 171)
    assert await left_of(services) == [1, *[2] * 14]
    await check_ledger(services)


async def test_charges_and_grants_at_once_add_up(services: DomainServices) -> None:
    await services.team(credits_allocated=40)
    await asyncio.gather(
        *(charge(services, 3, f"job {number}") for number in range(10)),
        *(services.credits.add(ADMIN, ACME, 5, reason="more") for _ in range(10)),
        *(services.credits.adjust(ADMIN, ACME, -1, reason="less") for _ in range(5)),
    )
    assert (await services.credits.balance(ADMIN, ACME)).available == 40 - 30 + 50 - 5
    await check_ledger(services)


async def test_credits_expire_once_however_many_servers_sweep(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    await services.credits.add(ADMIN, ACME, 20, reason="trial", terms=Terms(expires_at=services.clock() + DAY))
    await charge(services, 5)
    services.clock.move(DAY - timedelta(microseconds=1))
    assert await services.credits.expire_grants() == 0
    services.clock.move(timedelta(microseconds=1))
    await asyncio.gather(*(services.credits.expire_grants() for _ in range(4)))
    assert await services.credits.balance(ADMIN, ACME) == Balance(allocated=15, used=5, available=10, held=0)
    newest = (await services.credits.transactions(ADMIN, ACME, limit=10, before=None))[0]
    assert (newest.kind, newest.available_delta, newest.actor) == ("expiry", -15, "expiry")
    assert await left_of(services) == [10]
    await check_ledger(services)


async def test_credits_of_a_team_that_cannot_expire_keep_no_others_from_it(
    services: DomainServices, caplog: pytest.LogCaptureFixture
) -> None:
    teams = [ACME, TeamId("other")]
    for team_id in teams:
        await services.team(team_id, credits_allocated=0)
        await services.credits.add(ADMIN, team_id, 9, reason="trial", terms=Terms(expires_at=services.clock() + DAY))
    [row] = await services.credits.grants(ADMIN, ACME, limit=1)
    await post(services, Movement(EntryKind.EXPIRY, available=-1), f"{row.id}:8")  # as if it had expired before
    services.clock.move(DAY)
    assert await services.credits.expire_grants() == 1
    assert "credits_not_expired" in caplog.text
    assert [(await services.credits.balance(ADMIN, team_id)).available for team_id in teams] == [8, 0]


async def test_credits_that_a_job_holds_stay_until_it_is_closed(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    await services.credits.add(ADMIN, ACME, 10, reason="trial", terms=Terms(expires_at=services.clock() + DAY))
    await post(services, hold(6), "a job")
    services.clock.move(DAY)
    await services.credits.expire_grants()
    assert await services.credits.balance(ADMIN, ACME) == Balance(allocated=6, used=0, available=0, held=6)
    assert await services.credits.expire_grants() == 0, "there is nothing to take while the job runs"
    await close(services, 4, 6)
    assert (await services.credits.balance(ADMIN, ACME)).available == 2
    await services.credits.expire_grants()
    assert await services.credits.balance(ADMIN, ACME) == Balance(allocated=4, used=4, available=0, held=0)
    await check_ledger(services)


async def test_jobs_that_begin_while_credits_expire_hold_what_there_is(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    await services.credits.add(ADMIN, ACME, 10, reason="trial", terms=Terms(expires_at=services.clock() + DAY))
    services.clock.move(DAY)
    results = await asyncio.gather(
        *(post(services, hold(2), f"job {number}") for number in range(6)),
        *(services.credits.expire_grants() for _ in range(2)),
        return_exceptions=True,
    )
    held = 2 * sum(isinstance(result, Balance) for result in results)
    balance = await services.credits.balance(ADMIN, ACME)
    assert (balance.held, balance.available) == (held, 0 if held < 10 else balance.available)
    await check_ledger(services)


async def test_credits_are_not_given_for_the_past_nor_beyond_what_can_be_counted(services: DomainServices) -> None:
    await services.team(credits_allocated=1)
    with pytest.raises(Unprocessable):
        await services.credits.add(ADMIN, ACME, 1, reason="late", terms=Terms(expires_at=services.clock()))
    with pytest.raises(Conflict):
        await post(services, Movement(EntryKind.REFILL, available=MAX_CREDITS), "too much")
    assert await left_of(services) == [1]
