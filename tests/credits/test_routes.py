"""Grants, automatic refills, events and forced refunds through HTTP, under both addresses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.ledger import Books
from tests.support.server import Team


def later(**by: float) -> str:
    return (datetime.now(UTC) + timedelta(**by)).isoformat()


async def test_credits_are_given_with_priority_and_expiry_and_listed_in_their_turn(team: Team) -> None:
    path = f"/api/teams/{team.id}/credits"
    for body in (
        {"credits": 5, "reason": "promotion", "expires_at": later(days=9)},
        {"credits": 6, "reason": "trial", "expires_at": later(days=1)},
        {"credits": 7, "reason": "first", "priority": 0},
    ):
        assert (await team.admin.post(f"{path}/add", json=body)).status_code == 200
    grants = (await team.http.get(f"{path}/grants")).json()["grants"]
    assert [(grant["credits_left"], grant["priority"]) for grant in grants] == [(7, 0), (6, 100), (5, 100), (100, 100)]
    assert [grant["expires_at"] is None for grant in grants] == [True, False, False, True]
    job = await team.create_job()
    await team.call(job)
    await team.complete(job)
    grants = (await team.http.get(f"/api/credits/teams/{team.id}/grants?limit=1")).json()["grants"]
    assert [(grant["credits_granted"], grant["credits_left"]) for grant in grants] == [(7, 6)]
    (await Books.of(team)).check()


@pytest.mark.parametrize(
    "terms",
    [
        {"priority": -1},
        {"priority": 1001},
        {"priority": "1"},
        {"priority": None},
        {"expires_at": "tomorrow"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"},  # where?
    ],
)
async def test_terms_that_make_no_sense_give_nothing(team: Team, terms: dict[str, Any]) -> None:
    answer = await team.admin.post(f"/api/teams/{team.id}/credits/add", json={"credits": 1, "reason": "r", **terms})
    assert answer.status_code == 422, answer.text
    assert (await team.credits())["credits_allocated"] == 100


async def test_an_automatic_refill_is_configured_shown_and_ended(team: Team) -> None:
    nothing = {"team_id": team.id, "enabled": False} | dict.fromkeys(
        ("refill_amount", "refill_period", "timezone", "starts_on", "rollover", "next_refill_at")
    )
    for path in (f"/api/teams/{team.id}", f"/api/credits/teams/{team.id}"):
        assert (await team.http.get(f"{path}/auto-refill")).json() == nothing
        body = {
            "enabled": True,
            "refill_amount": 1000,
            "refill_period": "monthly",
            "timezone": "Europe/Berlin",
            "starts_on": "2199-01-31",
            "rollover": False,
        }
        configured = await team.admin.post(f"{path}/configure-auto-refill", json=body)
        assert configured.json() == body | {"team_id": team.id, "next_refill_at": "2199-01-30T23:00:00Z"}
        assert (await team.http.get(f"{path}/auto-refill")).json() == configured.json()
        ended = await team.admin.post(f"{path}/configure-auto-refill", json={"enabled": False})
        assert ended.json() == nothing
    short = await team.admin.post(
        f"/api/teams/{team.id}/configure-auto-refill", json={"refill_amount": 5, "refill_period": "daily"}
    )
    assert (short.json()["enabled"], short.json()["timezone"], short.json()["rollover"]) == (True, "UTC", True)
    assert short.json()["next_refill_at"] > datetime.now(UTC).isoformat()
    assert (await team.credits())["credits_allocated"] == 100, "the day that runs now is not refilled"


@pytest.mark.parametrize(
    "wrong",
    [
        {"refill_amount": None},
        {"refill_amount": 0},
        {"refill_amount": 1.5},
        {"refill_period": None},
        {"refill_period": "hourly"},
        {"timezone": "Berlin"},
        {"timezone": "../../etc/passwd"},
        {"timezone": None},
        {"starts_on": "31.01.2026"},
        {"starts_on": "0001-01-01"},
        {"starts_on": "9999-12-31"},
    ],
)
async def test_a_refill_that_makes_no_sense_is_refused(team: Team, wrong: dict[str, Any]) -> None:
    body = {"enabled": True, "refill_amount": 5, "refill_period": "daily", **wrong}
    answer = await team.admin.post(f"/api/teams/{team.id}/configure-auto-refill", json=body)
    assert answer.status_code == 422, answer.text
    assert not (await team.http.get(f"/api/teams/{team.id}/auto-refill")).json()["enabled"]


async def test_a_low_balance_is_an_event_that_the_team_can_read(team: Team) -> None:
    path = f"/api/teams/{team.id}/credits"
    set_ = await team.admin.patch(f"{path}/low-balance-threshold", json={"threshold": 100})
    assert set_.json() == {"team_id": team.id, "low_balance_threshold": 100, "credits_remaining": 100}
    job = await team.create_job()
    await team.call(job)
    assert (await team.http.get(f"{path}/events")).json()["events"] == []
    await team.complete(job)
    await team.admin.post(f"{path}/add", json={"credits": 1, "reason": "more"})
    await team.admin.post(f"{path}/adjust", json={"credits": -2, "reason": "less"})
    newest = (await team.http.get(f"{path}/events?limit=1")).json()
    cursor = newest["next_cursor"]
    oldest = (await team.http.get(f"/api/credits/teams/{team.id}/events?cursor={cursor}")).json()
    assert [
        (event["kind"], event["credits_remaining"], event["threshold"])
        for event in (*newest["events"], *oldest["events"])
    ] == [("low_balance", 98, 100), ("low_balance", 99, 100)]
    assert oldest["next_cursor"] is None
    for wrong in ({}, {"threshold": 0}, {"threshold": "5"}):
        assert (await team.admin.patch(f"{path}/low-balance-threshold", json=wrong)).status_code == 422
    assert (await team.http.get(f"{path}/events?cursor=x")).status_code == 422
    off = await team.admin.patch(f"/api/credits/teams/{team.id}/low-balance-threshold", json={"threshold": None})
    assert off.json()["low_balance_threshold"] is None


async def test_a_job_is_refunded_again_only_by_force_and_never_above_its_charge(team: Team) -> None:
    await team.admin.patch(
        f"/api/teams/{team.id}/budget-mode", json={"budget_mode": "consumption_tokens", "tokens_per_credit": 3}
    )
    job = await team.create_job()
    await team.call(job)
    assert (await team.complete(job)).json()["costs"]["credits_charged"] == 7
    path = f"/api/teams/{team.id}/credits/refund"
    body = {"credits": 3, "reason": "part of it", "job_id": job}
    assert (await team.admin.post(path, json=body)).json()["credits_used"] == 4
    again = await team.admin.post(path, json=body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
    assert "force" in again.json()["detail"]
    assert (await team.admin.post(path, json=body | {"force": True})).json()["credits_used"] == 1
    more = await team.admin.post(path, json=body | {"force": True, "credits": 2})
    assert (more.status_code, more.json()["error"]["credits_refunded"]) == (409, 6)
    assert (await team.admin.post(path, json=body | {"force": True, "credits": 1})).json()["credits_used"] == 0
    books = await Books.of(team)
    books.check()
    assert [entry["ref"] for entry in books.of_kind("refund")] == [job, f"{job}:2", f"{job}:3"]


async def test_without_an_amount_a_job_is_refunded_what_is_left_of_its_charge(team: Team) -> None:
    path = f"/api/teams/{team.id}/credits/refund"
    job = await team.create_job()
    await team.call(job)
    await team.complete(job)
    assert (await team.admin.post(path, json={"reason": "whose"})).status_code == 422
    assert (await team.admin.post(path, json={"reason": "all of it", "job_id": job})).json()["credits_used"] == 0
    nothing_left = await team.admin.post(path, json={"reason": "again", "job_id": job, "force": True})
    assert (nothing_left.status_code, nothing_left.json()["error"]["code"]) == (409, "conflict")
    (await Books.of(team)).check()
