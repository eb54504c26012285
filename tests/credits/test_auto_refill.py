"""Teams are refilled once for each period, whoever sweeps, however late, and whatever is reconfigured meanwhile."""

import asyncio
import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlmodel import col

from control_plane.credits.auto_refill import NewRefill
from control_plane.credits.models import CreditRefill
from control_plane.credits.refills import Period
from control_plane.credits.rules import hold
from control_plane.credits.store import MAX_CREDITS
from control_plane.errors import AdminOnly, TeamNotFound, TeamNotOwned, Unprocessable
from control_plane.ids import TeamId
from tests.credits.ledgers import check_ledger, post
from tests.support.services import ACME, ADMIN, DomainServices

DAY = timedelta(days=1)
NUMBERS = itertools.count()
"""Of teams: the examples of a property share a database."""
DAILY = NewRefill(10, Period.DAILY)


async def refills_of(services: DomainServices, team_id: TeamId = ACME) -> list[str]:
    entries = await services.credits.transactions(ADMIN, team_id, limit=1000, before=None)
    return [entry.ref.rpartition(":")[2] for entry in entries if entry.kind == "refill"][::-1]


async def available(services: DomainServices, team_id: TeamId = ACME) -> int:
    return (await services.credits.balance(ADMIN, team_id)).available


async def test_a_team_is_refilled_from_the_next_period_on(services: DomainServices) -> None:
    await services.team(credits_allocated=5)
    refill = await services.credits.refills.configure(ADMIN, ACME, DAILY)
    assert refill is not None
    assert (refill.starts_on, refill.next_on) == (date(2026, 3, 1), date(2026, 3, 2))
    assert refill.next_at == datetime(2026, 3, 2, tzinfo=UTC)
    assert await services.credits.refills.refill_due() == 0
    services.clock.move(DAY / 2)
    assert await services.credits.refills.refill_due() == 1
    assert await services.credits.refills.refill_due() == 0
    entry = (await services.credits.transactions(ADMIN, ACME, limit=1, before=None))[0]
    assert (entry.kind, entry.available_delta, entry.ref) == ("refill", 10, "acme:2026-03-02")
    assert (entry.actor, entry.reason) == ("refill", "daily refill of 2026-03-02")
    assert (await services.credits.balance(ADMIN, ACME)).allocated == 15
    await check_ledger(services)


async def test_what_a_stopped_server_missed_is_given_when_it_comes_back_and_once(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    await services.credits.refills.configure(
        ADMIN, ACME, NewRefill(10, Period.MONTHLY, "Europe/Berlin", date(2026, 1, 31))
    )
    services.clock.now = datetime(2026, 6, 1, tzinfo=UTC)
    given = await asyncio.gather(*(services.credits.refills.refill_due() for _ in range(4)))
    assert sum(given) == 3
    assert await refills_of(services) == ["2026-03-31", "2026-04-30", "2026-05-31"]
    assert await available(services) == 30
    refill = await services.credits.refills.find(ADMIN, ACME)
    assert refill is not None
    assert refill.next_on == date(2026, 6, 30)
    await check_ledger(services)


async def test_what_does_not_roll_over_expires_with_the_next_refill(services: DomainServices) -> None:
    await services.team(credits_allocated=3)
    await services.credits.refills.configure(ADMIN, ACME, NewRefill(10, Period.DAILY, is_rollover=False))
    for _ in range(3):
        services.clock.move(DAY)
        assert await services.credits.refills.refill_due() == 1
        assert await available(services) == 13
    services.clock.move(5 * DAY)
    await services.credits.refills.refill_due()
    assert await available(services) == 13, "what was missed has expired, too"
    assert len(await refills_of(services)) == 8
    await check_ledger(services)


async def test_a_job_keeps_what_it_holds_of_a_refill_that_expires(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    await services.credits.refills.configure(ADMIN, ACME, NewRefill(10, Period.DAILY, is_rollover=False))
    services.clock.move(DAY)
    await services.credits.refills.refill_due()
    await post(services, hold(4), "a job")
    services.clock.move(DAY)
    await services.credits.refills.refill_due()
    balance = await services.credits.balance(ADMIN, ACME)
    assert (balance.available, balance.held) == (10, 4)
    await check_ledger(services)


async def test_no_change_of_the_configuration_refills_a_period_twice_or_loses_one(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    configure = services.credits.refills.configure
    await configure(ADMIN, ACME, DAILY)
    services.clock.now = datetime(2026, 3, 2, 0, 1, tzinfo=UTC)  # the 2nd has begun, and nobody has swept yet
    await configure(ADMIN, ACME, NewRefill(20, Period.DAILY, "America/New_York", date(2026, 1, 1)))
    assert await refills_of(services) == ["2026-03-02"], "what was due came first"
    services.clock.now = datetime(2026, 3, 2, 6, tzinfo=UTC)  # the 2nd begins in New York
    await services.credits.refills.refill_due()
    assert await available(services) == 10
    for new in (None, DAILY, NewRefill(5, Period.WEEKLY), DAILY):
        await configure(ADMIN, ACME, new)
        await services.credits.refills.refill_due()
    assert await refills_of(services) == ["2026-03-02"]
    services.clock.now = datetime(2026, 3, 3, tzinfo=UTC)
    await services.credits.refills.refill_due()
    assert await refills_of(services) == ["2026-03-02", "2026-03-03"]
    await configure(ADMIN, ACME, None)
    assert await services.credits.refills.find(ADMIN, ACME) is None
    services.clock.move(9 * DAY)
    assert await services.credits.refills.refill_due() == 0
    await check_ledger(services)


async def test_configuring_while_it_is_refilled_gives_every_period_once(services: DomainServices) -> None:
    await services.team(credits_allocated=0)
    await services.credits.refills.configure(ADMIN, ACME, DAILY)
    services.clock.move(3 * DAY)
    await asyncio.gather(
        services.credits.refills.refill_due(),
        services.credits.refills.configure(ADMIN, ACME, NewRefill(10, Period.DAILY, is_rollover=False)),
        services.credits.refills.refill_due(),
        services.credits.refills.configure(ADMIN, ACME, NewRefill(10, Period.DAILY, "Asia/Tokyo")),
    )
    assert await refills_of(services) == ["2026-03-02", "2026-03-03", "2026-03-04"]
    await check_ledger(services)


async def test_a_team_that_cannot_be_refilled_keeps_no_other_from_it(services: DomainServices) -> None:
    other = TeamId("other")
    for team_id, credits_ in (("full", MAX_CREDITS), ("lost", 0), (other, 0)):
        await services.team(team_id, credits_allocated=credits_)
        await services.credits.refills.configure(ADMIN, TeamId(team_id), DAILY)
    async with services.db.transaction() as tx:
        await tx.execute(update(CreditRefill).where(col(CreditRefill.team_id) == "lost").values(timezone="No/Where"))
    services.clock.move(2 * DAY)
    await services.credits.refills.refill_due()
    assert await available(services, other) == 20
    assert await available(services, TeamId("full")) == MAX_CREDITS
    skipped = await services.credits.refills.find(ADMIN, TeamId("full"))
    assert skipped is not None
    assert skipped.next_on == date(2026, 3, 4), "what cannot be given is not tried again for ever"
    await check_ledger(services)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pauses=st.lists(st.integers(min_value=1, max_value=100), min_size=1, max_size=8),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]),
    start=st.sampled_from([datetime(2026, 3, 28, 5, tzinfo=UTC), datetime(2026, 10, 24, 5, tzinfo=UTC)]),
)
async def test_however_irregularly_it_is_swept_every_day_is_refilled_once(
    services: DomainServices, pauses: list[int], timezone: str, start: datetime
) -> None:
    team_id = TeamId(f"team-{next(NUMBERS)}")
    services.clock.now = start
    await services.team(team_id, credits_allocated=0)
    first = await services.credits.refills.configure(ADMIN, team_id, NewRefill(1, Period.DAILY, timezone))
    assert first is not None
    for hours in pauses:
        services.clock.move(timedelta(hours=hours))
        await services.credits.refills.refill_due()
    given_ = [date.fromisoformat(day) for day in await refills_of(services, team_id)]
    assert given_ == [first.next_on + number * DAY for number in range(len(given_))]
    following = await services.credits.refills.find(ADMIN, team_id)
    assert following is not None
    assert following.next_at > services.clock.now
    assert following.next_on == first.next_on + len(given_) * DAY
    await services.credits.refills.configure(ADMIN, team_id, None)


async def test_who_may_configure_and_what(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    other = await services.principal(await services.team("other"))
    with pytest.raises(Unprocessable, match=r"No/Where.*Europe/Berlin"):
        await services.credits.refills.configure(ADMIN, ACME, NewRefill(1, Period.DAILY, "No/Where"))
    with pytest.raises(TeamNotFound):
        await services.credits.refills.configure(ADMIN, TeamId("nobody"), DAILY)
    with pytest.raises(AdminOnly):
        await services.credits.refills.configure(principal, ACME, DAILY)
    assert await services.credits.refills.find(principal, ACME) is None
    with pytest.raises(TeamNotOwned):
        await services.credits.refills.find(other, ACME)


async def test_a_team_that_never_did_anything_is_deleted_with_its_refill(services: DomainServices) -> None:
    await services.team(credits_allocated=5)
    await services.credits.refills.configure(ADMIN, ACME, DAILY)
    await services.credits.set_low_balance(ADMIN, ACME, 5)
    await services.administration.delete_team(ADMIN, ACME)
    services.clock.move(DAY)
    assert await services.credits.refills.refill_due() == 0
    await services.team(credits_allocated=5)
    await services.credits.adjust(ADMIN, ACME, -3, reason="the new team set no threshold")
    assert len(await services.credits.events(ADMIN, ACME, limit=10)) <= 1
    await check_ledger(services)
