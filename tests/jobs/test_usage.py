"""Usage of a month is read from its days, not from its calls: it costs the same with any number of them."""

from sqlalchemy import text

from tests.support.server import COST_USD, Server, Team


async def test_usage_needs_no_job_and_no_call(server: Server, team: Team) -> None:
    path = f"/api/teams/{team.id}/usage"
    job_id = await team.create_job()
    for group in ("ok", "ok", "cached"):
        await team.call(job_id, group)
    await team.complete(job_id)
    usage = (await team.http.get(path)).json()
    assert usage["summary"]["total_cost_usd"] > 2 * COST_USD
    assert usage["model_groups"].keys() == {"ok", "cached"}
    assert usage["model_groups"]["ok"]["calls"] == 2
    assert [day["calls"] for day in usage["days"].values()] == [3]
    async with server.services.db.transaction() as tx:
        for table in ("spend_logs", "calls", "jobs"):
            await tx.execute(text(f"DELETE FROM {table}"))
    assert (await team.http.get(path)).json() == usage
