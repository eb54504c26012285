"""A database that goes away: no call without a durable intent, no [DONE] without a record, and nothing forgotten."""

import asyncio

import httpx
import pytest

from tests.calls.sse import only_call, streaming
from tests.support.databases import Postgres
from tests.support.ledger import Books
from tests.support.outage import outage
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import COST_USD, Team, call_body


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Postgres: SQLite is a file of our own and goes away with us."""
    return postgres_url


async def until_all_is_settled(team: Team, *, closed: bool = False) -> Books:
    """Until no call is open and, if asked for, every job is closed: by the server itself, without another request."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            jobs = await team.http.get(f"/api/teams/{team.id}/jobs")
            if jobs.status_code == 200:
                books = await Books.of(team)
                is_closed = all(job["completed_at"] for job in books.jobs)
                if (is_closed or not closed) and not [call for call in books.calls if call["status"] == "open"]:
                    return books
            await asyncio.sleep(0.05)


def is_database_away(answer: httpx.Response) -> bool:
    assert "Retry-After" in answer.headers
    return (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")


@pytest.mark.parametrize("route", ["llm-call", "llm-call-stream"])
async def test_no_call_is_made_without_a_durable_intent(
    team: Team, provider: Provider, postgres: Postgres, postgres_url: str, route: str
) -> None:
    """A call that nobody wrote down could be billed to nobody."""
    job_id = await team.create_job()
    async with outage(postgres, postgres_url):
        for path in (f"/api/jobs/{job_id}/{route}", f"/api/jobs/{route.replace('llm', 'create-and')}"):
            answer = await team.http.post(path, json={"job_type": "test", **call_body()})
            assert is_database_away(answer), answer.text
        assert provider.requests == []
    assert (await team.call(job_id)).status_code == 200
    assert (await team.complete(job_id)).json()["costs"]["total_cost_usd"] == COST_USD
    (await Books.of(team)).check()


async def test_a_stream_without_a_record_ends_in_an_error_and_is_billed_later(
    team: Team, provider: Provider, postgres: Postgres, postgres_url: str
) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "hold") as stream:
        await stream.pieces(3)
        async with outage(postgres, postgres_url):
            provider.release("hold")
            *_, error = await stream.rest()
            assert error["error"]["code"] == "database_unavailable"
            assert "nothing was called" not in error["error"]["message"]
    await until_all_is_settled(team)
    call = await only_call(team, job_id)
    assert (call["status"], call["cost_usd"]) == ("succeeded", COST_USD)
    bill = (await team.complete(job_id)).json()["costs"]
    assert (bill["total_cost_usd"], bill["credits_charged"]) == (COST_USD, 1)
    (await Books.of(team)).check()


async def test_an_answer_that_was_never_delivered_is_not_billed(
    team: Team, provider: Provider, postgres: Postgres, postgres_url: str
) -> None:
    """The client was told 503 and asks again: it pays for the answer it gets, and the other one stays visible."""
    job_id = await team.create_job()
    asking = asyncio.create_task(team.call(job_id, "hold"))
    await provider.wait_requests("hold")
    async with outage(postgres, postgres_url):
        provider.release("hold")
        assert is_database_away(await asking)
    await until_all_is_settled(team)
    assert (await team.call(job_id)).is_success
    costs = (await team.complete(job_id)).json()["costs"]
    assert (costs["total_cost_usd"], costs["failed_calls"], costs["total_calls"]) == (COST_USD, 1, 2)
    unheard = (await team.costs(job_id))["breakdown"][0]
    assert (unheard["status"], unheard["error"], unheard["cost_usd"]) == ("failed", "database_unavailable", COST_USD)
    (await Books.of(team)).check()


@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "stream"])
async def test_a_job_of_one_call_is_closed_when_the_database_is_back(
    team: Team, provider: Provider, postgres: Postgres, postgres_url: str, is_stream: bool
) -> None:
    """Its client was told of a failure: the job must not cost anything, nor keep its credit for ever."""
    path = "/api/jobs/create-and-call" + ("-stream" if is_stream else "")
    asking = asyncio.create_task(team.http.post(path, json={"job_type": "test", **call_body("hold")}))
    await provider.wait_requests("hold")
    if is_stream:
        await provider.wait_chunks("hold", 3)
    async with outage(postgres, postgres_url):
        provider.release("hold")
        answer = await asking
        if is_stream:
            assert '"code":"database_unavailable"' in answer.text
        else:
            assert is_database_away(answer), answer.text
    books = await until_all_is_settled(team, closed=True)
    books.check()
    assert books.jobs[0]["status"] == "failed"
    status = "succeeded" if is_stream else "failed"
    assert [(call["status"], call["cost_usd"]) for call in books.calls] == [(status, COST_USD)]
    assert books.credits["credits_available"] == 100


async def test_a_client_that_leaves_meanwhile_is_recorded_later(
    team: Team, provider: Provider, postgres: Postgres, postgres_url: str
) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "hold") as stream:
        await stream.pieces(3)
        async with outage(postgres, postgres_url):
            await stream.response.aclose()
            await provider.wait_closed("hold")
            await asyncio.sleep(0.2)
    await until_all_is_settled(team)
    call = await only_call(team, job_id)
    assert (call["status"], call["error"], call["completion_tokens"]) == ("cancelled", "client_closed", 3)
    assert (await team.complete(job_id)).json()["costs"]["total_cost_usd"] == call["cost_usd"] > 0
