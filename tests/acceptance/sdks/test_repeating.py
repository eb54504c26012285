"""SDKs repeat a request by themselves when its answer is lost. However it was lost, one answer is charged."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from control_plane.credits import risk_store
from control_plane.ids import TeamId
from tests.acceptance.processes import process
from tests.acceptance.sdks.dropping import dropping
from tests.acceptance.sdks.programs import in_node_folder, ran
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.seed_runner import needs
from tests.support.server import Server, Team, config_for, serving, settings_for, write_config

HELLO: Any = [{"role": "user", "content": "Hello"}]

NODE_ASKS = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: process.argv[3] });
await client.chat.completions.create({ model: "ok", messages: [{ role: "user", content: "Hello" }] });
"""
VERCEL_ASKS = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";
const plane = createOpenAICompatible({ name: "plane", baseURL: `${process.argv[2]}/v1`, apiKey: process.argv[3] });
await generateText({ model: plane("ok"), prompt: "Hello", headers: { "Idempotency-Key": crypto.randomUUID() } });
"""


async def test_an_answer_lost_on_its_way_is_charged_once(server: Server, team: Team, provider: Provider) -> None:
    async with (
        dropping(server.url) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=team.key, timeout=PATIENCE_S) as client,
    ):
        answer = await client.chat.completions.create(model="ok", messages=HELLO)
    assert answer.choices[0].message.content
    assert provider.count("ok") == 2
    books = await Books.of_closed_jobs(team)
    assert books.credits["credits_used"] == 1
    assert [entry["kind"] for entry in books.ledger].count("refund") == 1
    books.check()


@needs("node")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nodes_sdks_are_charged_once_too(server: Server, team: Team, provider: Provider, tmp_path: Path) -> None:
    for number, asking in enumerate((NODE_ASKS, VERCEL_ASKS), start=1):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with dropping(server.url) as url:
            await ran("node", str(in_node_folder(folder, asking)), url, team.key)
        assert provider.count("ok") == number + 1
        assert (await Books.of_closed_jobs(team)).credits["credits_used"] == number


async def test_the_cost_of_what_was_refunded_is_at_risk(server: Server, team: Team) -> None:
    async with (
        dropping(server.url) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=team.key, timeout=PATIENCE_S) as client,
    ):
        await client.embeddings.create(model="ok", input="a")
        await client.chat.completions.create(model="ok", messages=HELLO)
    async with server.services.db.reader() as reader:
        [risk] = (
            await risk_store.find_risks(reader, [TeamId(team.id)], since=server.services.clock().replace(year=2000))
        ).values()
    assert risk.total == 11_000, "the first embedding, which was refunded"


async def test_an_answer_the_client_would_not_wait_for_is_charged_once(
    team: Team, provider: Provider, claude: anthropic.AsyncAnthropic
) -> None:
    # given a first try that is still running at the provider when the SDK begins its second
    asking = asyncio.create_task(
        claude.with_options(timeout=5, max_retries=1).messages.create(model="hold0", max_tokens=9, messages=HELLO)
    )
    await provider.wait_requests("hold0", 2)
    provider.release("hold0")
    await asking
    books = await Books.of_closed_jobs(team)
    assert len(books.jobs) == 2
    assert sorted(job["credits_charged"] for job in books.jobs) == [0, 1]
    assert books.credits["credits_used"] == 1
    books.check()


async def test_a_stream_lost_before_it_began_is_charged_once(server: Server, team: Team) -> None:
    async with (
        dropping(server.url) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=team.key, timeout=PATIENCE_S) as client,
    ):
        stream = await client.chat.completions.create(model="ok", messages=HELLO, stream=True)
        assert [chunk async for chunk in stream]
    books = await Books.of_closed_jobs(team)
    assert books.credits["credits_used"] == 1
    books.check()


async def test_asking_the_same_twice_on_purpose_is_two_jobs(client: openai.AsyncOpenAI, team: Team) -> None:
    for _ in range(2):
        await client.chat.completions.create(model="ok", messages=HELLO)
    assert (await team.credits())["credits_used"] == 2


@pytest.mark.parametrize("tries", [2, 5])
async def test_repetitions_at_once_give_up_one_job_each(team: Team, tries: int) -> None:
    body = {"model": "ok", "messages": HELLO}

    async def ask(count: int) -> None:
        answer = await team.http.post(
            "/v1/chat/completions", json=body, headers={"X-Stainless-Retry-Count": str(count)}
        )
        assert answer.status_code == 200

    await asyncio.gather(*(ask(0) for _ in range(tries)))
    await asyncio.gather(*(ask(1) for _ in range(tries)))
    books = await Books.of_closed_jobs(team)
    assert books.credits["credits_used"] == tries
    books.check()


async def test_another_teams_request_is_nothing_to_do_with_mine(team: Team, other_team: Team) -> None:
    body = {"model": "ok", "messages": HELLO}
    await other_team.http.post("/v1/chat/completions", json=body, headers={"X-Stainless-Retry-Count": "0"})
    await team.http.post("/v1/chat/completions", json=body, headers={"X-Stainless-Retry-Count": "1"})
    assert (await other_team.credits())["credits_used"] == 1
    assert (await team.credits())["credits_used"] == 1


async def test_another_user_of_the_team_does_not_unbill_my_answer(server: Server, team: Team) -> None:
    """Their first try was lost before it arrived, and they ask what I asked: my answer was heard, and stays charged."""
    second = await team.admin.post(f"/api/teams/{team.id}/keys", json={"name": "second"})
    body = {"model": "ok", "messages": HELLO}
    first, again = ({"X-Stainless-Retry-Count": count, "X-User-Id": "alice"} for count in "01")
    assert (await team.http.post("/v1/chat/completions", json=body, headers=first)).status_code == 200
    async with server.client(second.json()["virtual_key"]) as other_key:
        await other_key.post("/v1/chat/completions", json=body, headers=again)
    await team.http.post("/v1/chat/completions", json=body, headers=again | {"X-User-Id": "bob"})
    books = await Books.of_closed_jobs(team)
    assert books.credits["credits_used"] == 3
    await team.http.post("/v1/chat/completions", json=body, headers=again)
    assert (await Books.of_closed_jobs(team)).credits["credits_used"] == 3, "alice's own repetition is one"


async def test_an_answer_that_died_with_its_server_is_charged_once(
    provider: Provider, sqlite_url: str, tmp_path: Path
) -> None:
    # given a server that is killed when the job is charged and its client has heard nothing
    config = write_config(tmp_path, config_for(provider))
    body = {"model": "ok", "messages": HELLO}
    async with (
        process.server(tmp_path, database_url=sqlite_url, config=config, failpoint="bill_committed") as dying,
        dying.team() as team,
    ):
        with pytest.raises(httpx.TransportError):
            await team.http.post("/v1/chat/completions", json=body, headers={"X-Stainless-Retry-Count": "0"})
        assert await dying.ended() == -signal.SIGKILL
    async with serving(settings_for(sqlite_url, config)) as running, running.client(team.key) as http:
        again = await http.post("/v1/chat/completions", json=body, headers={"X-Stainless-Retry-Count": "1"})
        assert again.headers["X-Credits-Charged"] == "1"
        books = await Books.of(Team(team.id, team.key, http, http))
    assert provider.count("ok") == 2
    assert (len(books.jobs), books.credits["credits_used"]) == (2, 1)
    books.check()
