"""A server with more to do than it can: who would wait too long is told so at once, and nothing of his is done."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest

from control_plane.api.http.gate import turn_of
from control_plane.calls.write_items import Turn
from control_plane.ids import TeamId
from control_plane.settings import Settings
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import Server, Team, call_body

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SOON = {"X-Max-Wait": "2"}


@contextmanager
def standing_still(settings: Settings) -> Iterator[None]:
    """The database lets nobody write."""
    connection = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@asynccontextmanager
async def stuck(server: Server, settings: Settings, team: Team) -> AsyncIterator[asyncio.Task[str]]:
    """The writer has a job of this team in its hands, and stands still."""
    with standing_still(settings):
        created = asyncio.create_task(team.create_job())
        while server.services.writer.wait_s(Turn.JOB, TeamId(team.id)) < 2.5:  # noqa: ASYNC110 - the estimate grows with time alone
            await asyncio.sleep(0.01)
        yield created


@ON_SQLITE
async def test_what_would_come_too_late_is_refused_at_once(
    server: Server, settings: Settings, team: Team, other_team: Team, provider: Provider
) -> None:
    job_id = await team.create_job()
    before = await Books.of(other_team)
    async with stuck(server, settings, team) as created:
        for path, body in (
            ("/api/jobs/create", {"job_type": "late"}),
            ("/api/jobs/create-and-call", {"job_type": "late", **call_body()}),
            ("/v1/chat/completions", {"model": "ok", "messages": [{"role": "user", "content": "Hello"}]}),
            (f"/api/jobs/{job_id}/llm-call", call_body()),
            (f"/api/jobs/{job_id}/complete", {"status": "completed"}),
        ):
            asked = team if job_id in path else other_team
            answer = await asked.http.post(path, json=body, headers=SOON)
            assert answer.status_code == 503, answer.text
            assert "overloaded" in answer.text
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await team.http.get(f"/api/jobs/{job_id}")).json()["status"] == "pending"
    assert await created
    assert await Books.of(other_team) == before
    assert provider.requests == []
    assert (await team.call(job_id)).status_code == 200
    assert (await team.complete(job_id)).json()["costs"]["successful_calls"] == 1
    metrics = (await team.http.get("/metrics")).text
    refused = [("job", other_team, 2), ("call", other_team, 1), ("call", team, 1), ("end_of_job", team, 1)]
    for turn, whose, times in refused:
        assert f'control_plane_overloaded_total{{team="{whose.id}",turn="{turn}"}} {times}.0' in metrics
    assert re.search(f'control_plane_team_queue_seconds_total{{team="{team.id}"}} [0-9.e-]+', metrics)
    (await Books.of(team)).check()


async def test_the_gate_has_a_turn_for_every_request_that_makes_a_call_or_a_job(api: httpx.AsyncClient) -> None:
    """One that it does not know costs a server with too much to do its whole body."""
    paths = (await api.get("/openapi.json")).json()["paths"]
    posts = {path: ways["post"]["tags"] for path, ways in paths.items() if "post" in ways}
    asked = {path: turn_of(path) for path, tags in posts.items() if {*tags} & {"jobs", "respond", "openai"}}
    assert {path for path, turn in asked.items() if turn is None} == {
        "/api/jobs/{job_id}/tokens",
        "/v1/messages/count_tokens",
    }
    assert {path for path, turn in asked.items() if turn is Turn.END_OF_JOB} == {"/api/jobs/{job_id}/complete"}
    made = {"/api/jobs/create", "/api/jobs/create-and-call", "/api/jobs/create-and-call-stream"}
    assert {path for path, turn in asked.items() if turn is Turn.JOB} == made, "a call may be of a job that is there"


@pytest.mark.parametrize("header", ["", "soon", "0", "-1", "nan"])
@ON_SQLITE
async def test_a_time_to_wait_is_a_number_of_seconds(team: Team, header: str) -> None:
    answer = await team.http.post("/api/jobs/create", json={"job_type": "test"}, headers={"X-Max-Wait": header})
    assert (answer.status_code, "X-Max-Wait" in answer.text) == (422, True)


@ON_SQLITE
async def test_a_call_that_has_begun_takes_as_long_as_its_provider(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    asked = team.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body("hold"), headers={"X-Max-Wait": "3"})
    call = asyncio.create_task(asked)
    await provider.wait_requests("hold")
    await asyncio.sleep(3.1)  # time itself is what is tried here
    provider.release("hold")
    assert (await call).status_code == 200


@ON_SQLITE
async def test_the_time_in_which_a_body_arrives_is_no_waiting(team: Team) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"job_type": '
        await asyncio.sleep(2.2)  # time itself is what is tried here
        yield b'"test"}'

    headers = {"X-Max-Wait": "2", "Content-Type": "application/json"}
    answer = await team.http.post("/api/jobs/create", content=slowly(), headers=headers)
    assert answer.status_code == 200, answer.text


@ON_SQLITE
async def test_a_job_that_was_never_made_is_not_closed(server: Server, settings: Settings, team: Team) -> None:
    await team.create_job()
    with standing_still(settings):
        created = asyncio.create_task(team.create_job())
        body = {"job_type": "late", **call_body()}
        asked = [
            asyncio.create_task(team.http.post("/api/jobs/create-and-call", json=body, headers={"X-Max-Wait": "0.3"}))
            for _ in range(5)
        ]
        while server.services.writer.waiting + sum(task.done() for task in asked) < len(asked):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.4)  # time itself is what is tried here
    answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [503] * 5
    assert await created
    metrics = (await team.http.get("/metrics")).text
    assert 'control_plane_queue_seconds_count{turn="end_of_job"}' not in metrics
