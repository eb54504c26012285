"""What a job costs its team: the providers' cost and a markup, or a fixed price; never a silent 0."""

from pathlib import Path

import pytest

from control_plane.settings import Settings
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import (
    COST_NANO_USD,
    COST_USD,
    Server,
    Team,
    config_for,
    new_team,
    serving,
    settings_for,
    write_config,
)


async def test_a_team_pays_its_markup_on_the_cost(server: Server) -> None:
    async with new_team(
        server, budget_mode="consumption_usd", credits_per_dollar=1_000_000, markup_bps=2500, credits_allocated=1000
    ) as team:
        job_id = await team.create_job()
        await team.call(job_id)
        costs = await team.costs(job_id)
        assert costs["total_cost_usd"] == pytest.approx(COST_USD)
        assert costs["total_price_usd"] == pytest.approx(COST_USD * 1.25)
        bill = (await team.complete(job_id)).json()["costs"]
        assert bill["total_cost_usd"] == pytest.approx(COST_USD), "the cost is the provider's"
        assert bill["credits_charged"] == -(-COST_NANO_USD * 5 // 4 // 1000) == 39
        usage = (await team.http.get(f"/api/teams/{team.id}/usage")).json()["summary"]
        assert usage["total_price_usd"] == pytest.approx(COST_USD * 1.25)
        (await Books.of(team)).check()


async def test_a_group_has_a_markup_of_its_own_in_the_place_of_the_teams(
    provider: Provider, tmp_path: Path, database_url: str
) -> None:
    config = config_for(provider)
    config["model_groups"]["ok"]["markup_bps"] = 10_000
    async with (
        serving(settings_for(database_url, write_config(tmp_path, config))) as server,
        new_team(server, markup_bps=500) as team,
    ):
        job_id = await team.create_job()
        await team.call(job_id)
        await team.call(job_id, "cached")
        own, teams = (await team.costs(job_id))["breakdown"]
        assert own["price_usd"] == pytest.approx(own["cost_usd"] * 2)
        assert teams["price_usd"] == pytest.approx(teams["cost_usd"] * 1.05, abs=1e-9)


async def test_a_type_of_job_has_a_fixed_price_whatever_its_calls_cost(server: Server) -> None:
    async with new_team(
        server, budget_mode="consumption_tokens", tokens_per_credit=1, job_type_prices={"report": 7, "ping": 0}
    ) as team:
        report, ping, other = [await team.create_job(job_type=name) for name in ("report", "ping", "other")]
        assert (await team.credits())["credits_held"] == 7 + 0 + 1
        for job_id in (report, report, ping, other):
            assert (await team.call(job_id)).status_code == 200
        charged = [(await team.complete(job_id)).json()["costs"]["credits_charged"] for job_id in (report, ping, other)]
        assert charged == [7, 0, 21]
        (await Books.of(team)).check()


async def test_a_free_type_of_job_can_be_had_without_credits(server: Server) -> None:
    async with new_team(server, job_type_prices={"ping": 0}, credits_allocated=0) as team:
        job_id = await team.create_job(job_type="ping")
        assert (await team.call(job_id)).status_code == 200
        bill = (await team.complete(job_id)).json()["costs"]
        assert (bill["credits_charged"], bill["credit_applied"], bill["credits_remaining"]) == (0, False, 0)


@pytest.fixture
def unpriced(provider: Provider, tmp_path: Path, database_url: str) -> Settings:
    """A model that is priced by the picture answers with text, of which nobody knows the price."""
    config = config_for(provider)
    deployment = next(each for each in config["model_list"] if each["model_name"] == "ok")
    deployment["model_info"] = {"id": "by-the-picture", "mode": "image_generation", "input_cost_per_image": 0.01}
    return settings_for(database_url, write_config(tmp_path, config))


async def test_an_unknown_price_is_marked_and_never_a_silent_0(unpriced: Settings) -> None:
    async with serving(unpriced) as server, new_team(server) as team:
        job_id = await team.create_job()
        answer = await team.call(job_id)
        assert answer.json()["metadata"]["unpriced"] is True
        async with team.http.stream(
            "POST",
            f"/api/jobs/{job_id}/llm-call-stream",
            json={"messages": [{"role": "user", "content": "Hi"}], "model_group": "ok"},
        ) as stream:
            assert b"[DONE]" in await stream.aread()
        assert [call["unpriced"] for call in (await team.costs(job_id))["breakdown"]] == [True, True]
        await assert_priced(team)


async def assert_priced(team: Team) -> None:
    job_id = await team.create_job()
    assert "unpriced" not in (await team.call(job_id, "cached")).json()["metadata"]


async def test_an_operator_can_refuse_models_without_a_price(unpriced: Settings, provider: Provider) -> None:
    strict = unpriced.model_copy(update={"refuse_unpriced": True})
    async with serving(strict) as server, new_team(server) as team:
        job_id = await team.create_job()
        refused = await team.call(job_id)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "unpriced_model")
        assert provider.count("ok") == 0
        await assert_priced(team)
