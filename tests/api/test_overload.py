"""A server with more to do than it can: who would wait too long is told so at once, and nothing of his is done."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from control_plane.ids import TeamId
from control_plane.settings import Settings
from control_plane.spend.writer import Turn
from tests.books import Books
from tests.house import Server, Team, call_body
from tests.provider import Provider

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SOON = {"X-Max-Wait": "0.05"}


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
        while server.house.writer.wait_s(Turn.JOB, TeamId(team.id)) < 0.1:  # noqa: ASYNC110 - the estimate grows with time alone
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
        assert (await team.http.get(f"/api/jobs/{job_id}", headers=SOON)).json()["status"] == "pending"
    assert await created
    assert await Books.of(other_team) == before
    assert provider.requests == []
    assert (await team.call(job_id)).status_code == 200
    assert (await team.complete(job_id)).json()["costs"]["successful_calls"] == 1
    metrics = (await team.http.get("/metrics")).text
    assert 'control_plane_overloaded_total{turn="job"} 3.0' in metrics
    (await Books.of(team)).check()


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
        await asyncio.sleep(0.7)
        yield b'"test"}'

    headers = {"X-Max-Wait": "0.5", "Content-Type": "application/json"}
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
        await asyncio.sleep(0.6)  # time itself is what is tried here
    answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [503] * 5
    assert await created
    metrics = (await team.http.get("/metrics")).text
    assert 'control_plane_queue_seconds_count{turn="end_of_job"}' not in metrics
