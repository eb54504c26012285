"""Postgres goes away and comes back while clients work: nothing is lost, nothing is billed twice."""

import asyncio
from collections import Counter
from pathlib import Path

from tests.load.chaos.__main__ import write_config
from tests.load.chaos.checks import find_inconsistencies, rows
from tests.load.chaos.clients import Client
from tests.load.chaos.provider import ChaosProvider
from tests.load.chaos.server import ChaosServer
from tests.support.databases import Postgres
from tests.support.outage import outage
from tests.support.patience import PATIENCE_S
from tests.support.server import Server, new_team, serving, settings_for

CLIENTS = 16
GROUPS = ["Good", "Falling", "Bad"]


async def test_a_database_stopped_twice_under_load_keeps_an_exact_ledger(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    async with (
        ChaosProvider.start() as provider,
        serving(settings_for(postgres_url, write_config(tmp_path, provider))) as server,
        new_team(server, credits_allocated=1000, model_groups=GROUPS) as free,
        new_team(
            server, credits_allocated=1000, model_groups=GROUPS, budget_mode="consumption_tokens", tokens_per_credit=50
        ) as metered,
    ):
        at = ChaosServer(tmp_path, {}, server.url)
        at.is_up.set()
        stop = asyncio.Event()
        clients = [Client(at, team.key) for team in (free, metered) * (CLIENTS // 2)]
        working = [asyncio.create_task(client.run(stop)) for client in clients]
        for _ in range(2):
            await until_answered(clients, 200, 60)
            async with outage(postgres, postgres_url):
                await until_answered(clients, 503, 16)
        await until_answered(clients, 200, 60)
        stop.set()
        await asyncio.gather(*working)
        await until_no_call_is_open(server)

        recorded = Counter(row[0] for row in await rows(server.services.db, "SELECT purpose FROM calls"))
        assert provider.unrecorded(recorded) == 0, "a provider was asked for a call that nobody recorded"
        for team in (free, metered):
            jobs = (await team.http.get(f"/api/teams/{team.id}/jobs", params={"limit": 1000})).json()["jobs"]
            for job in jobs:
                if job["completed_at"] is None:
                    assert (await team.complete(job["job_id"])).status_code == 200
        assert await find_inconsistencies(server.services.db) == []


async def until_answered(clients: list[Client], status: int, more: int) -> None:
    """Until the clients have had that many more answers of a status."""
    before = sum(client.statuses[status] for client in clients)
    async with asyncio.timeout(PATIENCE_S):
        while sum(client.statuses[status] for client in clients) < before + more:  # noqa: ASYNC110 - many tell it
            await asyncio.sleep(0.02)


async def until_no_call_is_open(server: Server) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await rows(server.services.db, "SELECT id FROM open_calls"):  # noqa: ASYNC110 - retries
            await asyncio.sleep(0.05)
