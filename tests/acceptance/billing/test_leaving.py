"""A client that leaves before its stream has begun leaves no call open, no job unclosed and no credit held."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
import pytest_asyncio

from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, Team, call_body

LOCKS = {
    "the intent": "LOCK TABLE open_calls IN EXCLUSIVE MODE",
    "the job": "LOCK TABLE jobs IN EXCLUSIVE MODE",
    "the hold": "LOCK TABLE credit_balances IN EXCLUSIVE MODE",
}
"""What keeps a request waiting for the database, by what it was about to write."""


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Postgres: there a test can hold a table from outside."""
    return postgres_url


@pytest_asyncio.fixture
async def outside(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection that is not the product's."""
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        yield connection


async def until_somebody_waits(outside: psycopg.AsyncConnection) -> None:
    """Until a statement of the product hangs at a lock of ours."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            waiting = await outside.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if await waiting.fetchone():
                return
            await asyncio.sleep(0.01)


async def leave(asked: asyncio.Task[httpx.Response], server: Server, connections: int) -> None:
    """Closes the client's connection; returns when the server has seen it."""
    asked.cancel()
    await asyncio.wait({asked})
    async with asyncio.timeout(PATIENCE_S):
        while len(server.uvicorn.server_state.connections) > connections:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("route", "what"),
    [
        ("llm-call-stream", "the job"),
        ("llm-call-stream", "the intent"),
        ("create-and-call-stream", "the hold"),
        ("create-and-call-stream", "the job"),
        ("create-and-call-stream", "the intent"),
    ],
)
async def test_leaving_while_the_database_makes_it_wait(
    server: Server, team: Team, provider: Provider, outside: psycopg.AsyncConnection, route: str, what: str
) -> None:
    """The call stayed open for as long as the server ran: its job could not be completed, nor its credit used again."""
    is_alone = route.startswith("create")
    job_id = None if is_alone else await team.create_job()
    path = f"/api/jobs/{route}" if is_alone else f"/api/jobs/{job_id}/{route}"
    connections = len(server.uvicorn.server_state.connections)
    async with server.client(team.key) as leaving:
        await outside.execute(LOCKS[what])
        asked = asyncio.create_task(leaving.post(path, json={"job_type": "test", **call_body()}))
        await until_somebody_waits(outside)
        await leave(asked, server, connections)
        await outside.rollback()
    if job_id is not None:
        closed = await team.complete(job_id)
        assert closed.status_code == 200, closed.text
    books = await Books.of_closed_jobs(team)
    books.check()
    assert books.credits["credits_used"] == 0
    assert not [call for call in books.calls if call["status"] == "open"]


@pytest.mark.parametrize("behaviour", ["timeout", "hold0", "rolehold"])
@pytest.mark.parametrize("route", ["llm-call-stream", "create-and-call-stream"])
async def test_leaving_before_the_first_piece_closes_the_connection_to_the_provider(
    server: Server, team: Team, provider: Provider, route: str, behaviour: str
) -> None:
    is_alone = route.startswith("create")
    job_id = None if is_alone else await team.create_job()
    path = f"/api/jobs/{route}" if is_alone else f"/api/jobs/{job_id}/{route}"
    connections = len(server.uvicorn.server_state.connections)
    async with server.client(team.key) as leaving:
        asked = asyncio.create_task(leaving.post(path, json={"job_type": "test", **call_body(behaviour)}))
        await provider.wait_requests(behaviour)
        await leave(asked, server, connections)
    await provider.wait_closed(behaviour)
    if job_id is not None:
        assert (await team.complete(job_id)).status_code == 200
    books = await Books.of_closed_jobs(team)
    books.check()
    (call,) = books.calls
    assert (call["status"], call["error"]) == ("cancelled", "client_closed")
    assert call["estimated"]
    assert 0 < call["cost_usd"] < COST_USD, "the prompt was read, the answer was not given"
