"""What a team may have at risk: running calls count with their worst case, and the limit follows from its credits."""

import asyncio

from tests.load.chaos.checks import find_inconsistencies
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, Team, call_body, new_team


async def test_calls_that_run_at_once_do_not_pass_the_limit_together(server: Server, provider: Provider) -> None:
    """Else a team with a limit of 1 USD has 40 USD of answers made before the first of them is recorded."""
    async with new_team(server, at_risk_limit_usd=COST_USD) as team:
        job_id = await team.create_job()
        first = asyncio.create_task(team.call(job_id, "hold"))
        await provider.wait_requests("hold")
        at_once = await asyncio.gather(*(team.call(job_id) for _ in range(5)), team.call(await team.create_job()))
        assert [answer.json()["error"]["code"] for answer in at_once] == ["at_risk_limit"] * 6
        assert at_once[0].json()["error"]["running_usd"] >= COST_USD
        assert provider.count("ok") == 0
        provider.release("hold")
        assert (await first).status_code == 200
        assert await find_inconsistencies(server.services.db) == [], (
            "what ran is not at risk any more, but for what it has cost"
        )
        await team.complete(job_id)
        assert (await team.call(await team.create_job())).status_code == 200


async def test_the_limit_follows_from_what_is_left_of_the_credits(server: Server) -> None:
    async def limit(team: Team) -> float:
        found: float = (await team.http.get(f"/api/teams/{team.id}")).json()["at_risk_limit_usd"]
        return found

    async with new_team(server, credits_allocated=2_000) as rich, new_team(server, credits_allocated=2) as poor:
        assert (await limit(rich), await limit(poor)) == (200.0, 5.0)
        await rich.admin.post(f"/api/teams/{rich.id}/credits/adjust", json={"credits": -1_000, "reason": "less"})
        assert await limit(rich) == 100.0


async def test_what_failed_calls_of_a_charged_job_have_cost_is_at_risk(server: Server) -> None:
    """Else one cheap call that succeeds hides what any number of unbilled ones in its job have cost."""
    async with new_team(server) as team:
        job_id = await team.create_job()
        answer = await team.http.post(f"/api/jobs/{job_id}/llm-call-stream", json=call_body("break4"))
        assert b'"error"' in answer.content
        await team.call(job_id)
        unbilled = [call["cost_usd"] for call in (await team.costs(job_id))["breakdown"] if call["status"] == "failed"]
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 1
        assert (await team.http.get(f"/api/teams/{team.id}")).json()["at_risk_usd"] == sum(unbilled) > 0
        assert await find_inconsistencies(server.services.db) == []
