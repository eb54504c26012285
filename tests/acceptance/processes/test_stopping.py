"""A server process that is asked to stop, or is killed: what its customers see, and what the next one finds."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes.process import server
from tests.calls.sse import streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.provider_plans import PERSON, WORDS
from tests.support.server import (
    COST_USD,
    MASTER_KEY,
    OUTPUT_PRICE,
    Team,
    call_body,
    config_for,
    serving,
    settings_for,
    write_config,
)

PROMPT = "Xyzzy42"


@pytest.fixture
def config(provider: Provider, tmp_path: Path) -> Path:
    return write_config(tmp_path, config_for(provider))


@asynccontextmanager
async def next_server(team: Team, sqlite_url: str, config: Path) -> AsyncIterator[Team]:
    """The team at the next server on the same file."""
    async with serving(settings_for(sqlite_url, config)) as running, running.client(team.key) as http:
        yield Team(team.id, team.key, http, team.admin)


async def until_refused(url: str) -> None:
    """Until the server takes no new connection."""
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=url) as client:
        while True:
            try:
                await client.get("/health/live", headers={"Connection": "close"})
            except httpx.ConnectError:
                return
            except httpx.TransportError:  # taken in the moment in which the server closed its socket
                continue
            await asyncio.sleep(0.02)


async def test_a_server_that_will_stop_says_so_while_it_still_takes_calls(
    tmp_path: Path, config: Path, sqlite_url: str
) -> None:
    """Otherwise a request that a balancer sends in the moment of stopping is refused. A second signal waits no longer."""
    async with server(tmp_path, database_url=sqlite_url, config=config, drain_s=60) as process, process.team() as team:
        process.send(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ready = await team.http.get("/health/ready")
                if ready.status_code == 503:
                    break
                await asyncio.sleep(0.02)
        assert ready.json()["checks"]["process"] == "stopping"
        assert (await team.call(await team.create_job(), "json")).status_code == 200
        process.send(signal.SIGTERM)
        assert await process.ended() == 0


async def test_sigterm_lets_a_stream_end_and_loses_nothing(
    provider: Provider, tmp_path: Path, config: Path, sqlite_url: str
) -> None:
    """Also the log of this whole life, at the most talkative level, says nothing of what customers send and get."""
    async with server(tmp_path, database_url=sqlite_url, config=config, log_level="DEBUG") as process:
        async with process.team() as team:
            job_id = await team.create_job()
            for behaviour in ("json", "e400", "e401", "e500", "garbage", "context"):
                await team.call(job_id, behaviour, text=PROMPT, call_metadata={"who": PROMPT})
                async with streaming(team, job_id, behaviour, text=PROMPT) as stream:
                    pass
            async with streaming(team, job_id, "errchunk", text=PROMPT) as stream:
                await stream.rest()
            await team.http.post(f"/api/jobs/{job_id}/llm-call", content=f'{{"messages": "{PROMPT}"')
            await team.http.post(f"/api/jobs/{job_id}/llm-call", json={"messages": PROMPT})
            unknown = {"Authorization": f"Bearer {team.key}x"}
            assert (await team.http.get(f"/api/jobs/{job_id}", headers=unknown)).status_code == 401
            assert (await team.complete(job_id)).status_code == 200

            last = await team.create_job()
            async with streaming(team, last, "hold", text=PROMPT) as stream:
                await stream.pieces(3)
                process.send(signal.SIGTERM)
                await until_refused(process.url)
                provider.release("hold")
                await stream.rest()
            assert stream.text == "".join(WORDS)
        assert await process.ended() == 0
    secrets = [
        PROMPT,
        PERSON,
        PERSON[:20],
        "John Smith",
        "".join(WORDS[:3]),
        team.key,
        MASTER_KEY,
        "sk-provider-secret",
    ]
    assert [secret for secret in secrets if secret in process.output] == []
    assert "Traceback" not in process.output
    async with next_server(team, sqlite_url, config) as team:
        assert (await team.complete(last)).json()["costs"]["total_cost_usd"] == COST_USD
        books = await Books.of(team)
        books.check()
        assert "lost" not in {call["status"] for call in books.calls}


async def test_a_stream_that_outlives_the_grace_is_ended_and_recorded(
    provider: Provider, tmp_path: Path, config: Path, sqlite_url: str
) -> None:
    async with server(tmp_path, database_url=sqlite_url, config=config, shutdown_grace_s=1) as process:
        async with process.team() as team:
            job_id = await team.create_job()
            async with streaming(team, job_id, "hold") as stream, streaming(team, None, "hold") as alone:
                await asyncio.gather(stream.pieces(3), alone.pieces(3))
                process.send(signal.SIGTERM)
                endings = await asyncio.gather(stream.rest(), alone.rest())
        assert [[event["error"]["code"] for event in ending] for ending in endings] == [["shutting_down"]] * 2
        assert await process.ended() == 0
    for alarm in ("Exception in ASGI application", "Traceback"):
        assert alarm not in process.output, "an orderly stop is no failure"
    async with next_server(team, sqlite_url, config) as team:
        assert (await team.complete(job_id)).json()["costs"]["total_cost_usd"] > 3 * OUTPUT_PRICE
        books = await Books.of(team)
        books.check()
        assert [(call["status"], call["error"], call["completion_tokens"]) for call in books.calls] == [
            ("cancelled", "drained", 3)
        ] * 2
        assert {job["status"] for job in books.jobs} == {"completed", "failed"}


async def test_what_a_killed_server_was_doing_is_lost_listed_and_billable(
    provider: Provider, tmp_path: Path, config: Path, sqlite_url: str
) -> None:
    async with server(tmp_path, database_url=sqlite_url, config=config) as process, process.team() as team:
        job_id = await team.create_job()
        assert (await team.call(job_id)).status_code == 200
        asking = asyncio.create_task(team.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body("timeout")))
        await provider.wait_requests("timeout")
        async with streaming(team, job_id, "hold") as stream:
            await stream.pieces(3)
            process.send(signal.SIGKILL)
            with pytest.raises(httpx.HTTPError):
                await stream.rest()
        with pytest.raises(httpx.HTTPError):
            await asking
        assert await process.ended() == -signal.SIGKILL
    async with next_server(team, sqlite_url, config) as team:
        listed = (await team.costs(job_id))["breakdown"]
        assert [(call["status"], call["error"]) for call in listed] == [
            ("succeeded", None),
            ("lost", "call_lost"),
            ("lost", "call_lost"),
        ]
        lost = listed[1:]
        assert all(call["estimated"] and 0 < call["cost_usd"] < COST_USD for call in lost), (
            "the provider read the prompt"
        )
        bill = (await team.complete(job_id)).json()["costs"]
        assert (bill["total_calls"], bill["failed_calls"]) == (3, 2)
        assert bill["total_cost_usd"] == pytest.approx(sum(call["cost_usd"] for call in listed))
        assert bill["credits_charged"] == 1
        (await Books.of(team)).check()
