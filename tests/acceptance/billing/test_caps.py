"""What a job may use at most: its client's caps, and what its team may have at risk."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.credits import risk_store
from control_plane.jobs.admission import RiskPolicy
from control_plane.storage.database import Database
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import COST_NANO_USD, COST_USD, Server, Team, call_body, new_team
from tests.support.services import ACME, DomainServices


async def test_a_call_that_could_exceed_max_cost_is_refused_and_hears_what_fits(team: Team, provider: Provider) -> None:
    job_id = await team.create_job(max_cost_usd=2 * COST_USD)
    assert (await team.call(job_id)).status_code == 200
    for route in ("llm-call", "llm-call-stream"):
        refused = await team.http.post(f"/api/jobs/{job_id}/{route}", json=call_body(max_tokens=1000))
        assert refused.status_code == 403
        error = refused.json()["error"]
        assert error["code"] == "job_cap_reached"
    asked = len(provider.requests)
    assert asked == 1, "a call was made that the cap does not cover"
    fitting = error["affordable_max_tokens"]
    assert 0 < fitting < 10
    assert (await team.call(job_id, max_tokens=fitting + 1)).status_code == 403
    assert (await team.call(job_id, max_tokens=fitting)).status_code == 200
    assert (await team.complete(job_id)).json()["costs"]["total_cost_usd"] <= 2 * COST_USD
    (await Books.of(team)).check()


async def test_a_clamping_job_asks_the_model_for_what_fits(team: Team, provider: Provider) -> None:
    job_id = await team.create_job(max_cost_usd=2 * COST_USD, on_cap="clamp")
    assert (await team.call(job_id, max_tokens=10)).status_code == 200
    assert provider.requests[-1].body["max_tokens"] == 10
    assert (await team.call(job_id, max_tokens=1000)).status_code == 200
    assert 0 < provider.requests[-1].body["max_tokens"] < 10
    refused = await team.call(job_id, max_tokens=1000)
    assert refused.json()["error"] == {
        "code": "job_cap_reached",
        "message": "The job's cap does not cover this. No further call fits.",
        "affordable_max_tokens": 0,
    }


async def test_max_credits_holds_for_calls_at_once(server: Server) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        job_id = await team.create_job(max_credits=60)
        answers = await asyncio.gather(*(team.call(job_id) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200, 403}
        while (await team.call(job_id)).status_code == 200:
            pass
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] <= 60
        (await Books.of(team)).check()


async def test_a_job_whose_type_costs_more_than_its_cap_is_not_created(server: Server) -> None:
    async with new_team(server, job_type_prices={"report": 5}) as team:
        refused = await team.http.post("/api/jobs/create", json={"job_type": "report", "max_credits": 4})
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "job_cap_reached"
        assert (await team.credits())["credits_held"] == 0


async def test_an_answer_beyond_its_worst_case_is_billed_in_full_and_nothing_more_is_held(server: Server) -> None:
    """The bound of overspending: what providers take beyond what was held for calls that ran at once, here one."""
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1, credits_allocated=20) as team:
        job_id = await team.create_job()
        answer = await team.call(job_id, max_tokens=1)  # the provider answers 10 all the same
        used = answer.json()["metadata"]["tokens_used"]
        assert used == 21
        assert (await team.call(job_id)).json()["error"]["code"] == "insufficient_credits"
        bill = (await team.complete(job_id)).json()["costs"]
        assert bill["credits_charged"] == used
        assert bill["credits_remaining"] == 20 - used
        (await Books.of(team)).check()


async def test_what_open_and_failed_jobs_cost_is_limited_until_it_is_billed(server: Server, provider: Provider) -> None:
    """Failed jobs are free: without a limit a team could have all its work done in jobs that it calls failed."""
    async with new_team(server, at_risk_limit_usd=2 * COST_USD) as team:
        failed, good = await team.create_job(), await team.create_job()
        assert (await team.call(failed)).status_code == 200
        await team.complete(failed, "failed")
        assert (await team.call(good)).status_code == 200
        asked = len(provider.requests)
        for route in ("llm-call", "llm-call-stream"):
            refused = await team.http.post(f"/api/jobs/{good}/{route}", json=call_body())
            assert refused.json()["error"]["code"] == "at_risk_limit"
            assert refused.status_code == 403
        assert len(provider.requests) == asked
        assert (await at_risk(team)) == (2 * COST_NANO_USD, 2 * COST_NANO_USD)
        await team.complete(good)
        assert (await at_risk(team)) == (COST_NANO_USD, 2 * COST_NANO_USD)
        assert (await team.call(await team.create_job())).status_code == 200
        (await Books.of(team)).check()


async def test_what_other_teams_have_at_risk_or_left_is_nothing_to_a_call(server: Server) -> None:
    async with new_team(server, at_risk_limit_usd=COST_USD) as first, new_team(server, credits_allocated=7) as team:
        spent = await first.create_job()
        assert (await first.call(spent)).status_code == 200
        assert (await first.call(spent)).status_code == 403
        answer = await team.call(await team.create_job())
        assert answer.status_code == 200, "it has a limit of its own, and nothing at risk"
        assert answer.headers["X-Credits-Remaining"] == "7"
        await team.admin.put(f"/api/teams/{team.id}", json={"at_risk_limit_usd": COST_USD})
        refused = await team.call(await team.create_job())
        assert refused.json()["error"]["at_risk_usd"] == COST_USD


@pytest.mark.parametrize("minute", [0, 30, 59])
async def test_an_unbilled_job_is_at_risk_for_the_whole_window(db: Database, minute: int) -> None:
    """Its cost is kept by the hour: one closed at the end of an hour was out of sight a minute later."""
    closed = datetime(2026, 3, 1, 12, minute, 30, tzinfo=UTC)
    policy = RiskPolicy(window=timedelta(hours=1))
    await DomainServices.on(db).team()
    async with db.transaction() as tx:
        await risk_store.close_costs(tx, {ACME: -7}, {ACME: 7}, at=closed)
        await risk_store.add_open_costs(tx, {ACME: 7})  # closing took it out of what is open

    async def at(moment: datetime) -> int:
        async with db.reader() as reader:
            return (await risk_store.find_risks(reader, [ACME], since=policy.since(moment)))[ACME].total

    assert await at(closed) == await at(closed + policy.window) == 7
    assert await at(closed + policy.window + timedelta(hours=1)) == 0


async def test_a_limit_put_back_to_the_default_lets_calls_through(server: Server) -> None:
    async with new_team(server, at_risk_limit_usd=COST_USD) as team:
        job_id = await team.create_job()
        await team.call(job_id)
        assert (await team.call(job_id)).status_code == 403
        changed = await team.admin.put(f"/api/teams/{team.id}", json={"at_risk_limit_usd": None})
        assert changed.json()["at_risk_limit_usd"] == 10.0, "what its 100 credits are worth"
        assert (await team.call(job_id)).status_code == 200


async def at_risk(team: Team) -> tuple[int, int]:
    seen = (await team.http.get(f"/api/teams/{team.id}")).json()
    return round(seen["at_risk_usd"] * 1e9), round(seen["at_risk_limit_usd"] * 1e9)
