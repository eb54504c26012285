"""Two server processes on one Postgres: one balance, one ledger, one answer to the same question."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from control_plane.storage.database import Database
from tests.acceptance.processes.process import Process, server
from tests.load.chaos.checks import find_inconsistencies
from tests.support.provider import Provider
from tests.support.server import Team, call_body, config_for, write_config

EACH = 500
CONNECTIONS = asyncio.Semaphore(100)
"""As many as the client has. A thousand that wait in its own pool cost it a minute of CPU: it looks at all for each."""


@pytest.fixture
def config(tmp_path: Path, provider: Provider) -> Path:
    return write_config(tmp_path, config_for(provider))


async def ask(process: Process, team: Team, path: str, body: object, **headers: str) -> httpx.Response:
    known = {"Authorization": f"Bearer {team.key}", **headers}
    async with CONNECTIONS:
        return await team.http.post(f"{process.url}{path}", json=body, headers=known, timeout=60)


async def test_two_servers_share_a_balance_and_idempotency_keys(
    tmp_path: Path, postgres_url: str, config: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with (
        server(folders[0], database_url=postgres_url, config=config) as one,
        server(folders[1], database_url=postgres_url, config=config) as two,
        one.team() as team,
    ):
        # 1,000 creations on a balance of 10, half of them at each server
        taken = await team.admin.post(f"/api/teams/{team.id}/credits/adjust", json={"credits": -90, "reason": "race"})
        assert taken.json()["credits_available"] == 10
        asked = [ask(process, team, "/api/jobs/create", {"job_type": "race"}) for process in (one, two) * EACH]
        answers = await asyncio.gather(*asked)
        assert Counter(answer.status_code for answer in answers)[200] == 10
        assert {answer.status_code for answer in answers} <= {200, 403, 503}
        jobs = [answer.json()["job_id"] for answer in answers if answer.status_code == 200]

        # calls and completions of the same jobs at both: each is billed once
        for job_id in jobs:
            calls = [ask(process, team, f"/api/jobs/{job_id}/llm-call", call_body()) for process in (one, two) * 2]
            assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
        ends = [
            ask(process, team, f"/api/jobs/{job_id}/complete", {"status": "completed"})
            for job_id in jobs
            for process in (one, two)
        ]
        bills = await asyncio.gather(*ends)
        assert {answer.status_code for answer in bills} == {200}
        assert len({answer.content for answer in bills}) == len(jobs)
        assert (await team.credits())["credits_used"] == 10

        # a key that one server has answered is answered the same by the other
        body = {"credits": 5, "reason": "paid"}
        admin = {"Authorization": team.admin.headers["Authorization"], "Idempotency-Key": "the-same"}
        paid = [
            await team.http.post(f"{process.url}/api/teams/{team.id}/credits/add", json=body, headers=admin)
            for process in (one, two)
        ]
        assert paid[0].content == paid[1].content
        assert paid[1].headers["Idempotency-Replayed"] == "true"
        assert (await team.credits())["credits_available"] == 5
    db = Database(postgres_url)
    assert await find_inconsistencies(db) == []
    await db.aclose()
