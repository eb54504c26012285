"""The reverse proxy's configuration in the real Caddy, in front of real servers."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from control_plane.storage.database import Database
from tests.acceptance.processes.process import server
from tests.calls.sse import streaming
from tests.load.chaos.checks import find_inconsistencies
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.redis_server import free_port
from tests.support.server import Team, call_body, config_for, new_team, serving, settings_for, write_config

CADDYFILE = Path(__file__).parents[3] / "deploy/compose/caddy/Caddyfile"

pytestmark = pytest.mark.skipif(shutil.which("caddy") is None, reason="Caddy is not installed")


@asynccontextmanager
async def caddy(folder: Path, *servers: str) -> AsyncIterator[str]:
    """The proxy in front of these servers, as soon as it lets requests through to one."""
    port = free_port()
    variables = {
        "SITE_ADDRESS": f"http://127.0.0.1:{port}",
        "UPSTREAMS": " ".join(server.removeprefix("http://") for server in servers),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
        "HOME": str(folder),
    }
    with (folder / "caddy.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            *("caddy", "run", "--config", CADDYFILE, "--adapter", "caddyfile"),
            env=os.environ | variables,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=url) as client:
            while True:
                try:
                    if (await client.get("/health/ready")).status_code == 200:
                        break
                except httpx.ConnectError:
                    assert running.returncode is None, (folder / "caddy.log").read_text()
                await asyncio.sleep(0.05)
        yield url
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


@asynccontextmanager
async def at(url: str, team: Team) -> AsyncIterator[Team]:
    """The team as a customer of this address."""
    async with httpx.AsyncClient(base_url=url, headers=team.http.headers, timeout=PATIENCE_S) as http:
        yield Team(team.id, team.key, http, team.admin)


async def test_pieces_come_as_they_are_made_and_a_client_that_leaves_is_noticed(
    provider: Provider, tmp_path: Path, sqlite_url: str
) -> None:
    """A proxy that buffers would hold the pieces back; one that reads on alone would have the customer pay for them."""
    settings = settings_for(sqlite_url, write_config(tmp_path, config_for(provider)))
    async with (
        serving(settings) as one,
        new_team(one) as known,
        caddy(tmp_path, one.url) as url,
        at(url, known) as team,
    ):
        job_id = await team.create_job()
        async with asyncio.timeout(PATIENCE_S), streaming(team, job_id, "hold") as stream:
            await stream.pieces(3)  # the provider sends no more until it is released
        await provider.wait_closed("hold", 1)
        assert (await team.http.get("/metrics")).status_code == 404


async def test_a_replica_that_is_replaced_refuses_nobody(provider: Provider, tmp_path: Path, postgres_url: str) -> None:
    config = write_config(tmp_path, config_for(provider))
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    settings = {"database_url": postgres_url, "config": config, "drain_s": 3}
    async with (
        server(folders[0], **settings) as one,
        server(folders[1], **settings) as two,
        one.team() as known,
        caddy(tmp_path, one.url, two.url) as url,
        at(url, known) as team,
    ):
        await team.admin.post(f"/api/teams/{team.id}/credits/add", json={"credits": 10**6, "reason": "load"})
        replaced = asyncio.Event()
        body = {**call_body("json"), "job_type": "load"}

        async def customer() -> list[int]:
            answers = []
            while not replaced.is_set():
                answers.append((await team.http.post("/api/jobs/create-and-call", json=body)).status_code)
            return answers

        async with asyncio.TaskGroup() as customers:
            asking = [customers.create_task(customer()) for _ in range(2)]
            job_id = await team.create_job()
            async with streaming(team, job_id, "hold") as stream:
                await stream.pieces(3)
                one.send(signal.SIGTERM)
                provider.release("hold")
                await stream.rest()
            assert await one.ended() == 0
            replaced.set()
        statuses = [status for task in asking for status in task.result()]
        assert set(statuses) == {200}
    db = Database(postgres_url)
    assert await find_inconsistencies(db) == []
    await db.aclose()
