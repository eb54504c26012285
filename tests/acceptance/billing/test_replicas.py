"""Several servers on one Postgres lock the same rows; none of them may give up a customer's call for that."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import Team


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest_asyncio.fixture
async def others(postgres_url: str) -> AsyncIterator[list[psycopg.AsyncConnection]]:
    """Connections of other servers: one that is in our way, one that wants the same two jobs as we do."""
    async with (
        await psycopg.AsyncConnection.connect(postgres_url) as first,
        await psycopg.AsyncConnection.connect(postgres_url) as second,
    ):
        yield [first, second]


async def until_waiting(looking: psycopg.AsyncConnection, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            rows = await looking.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if await rows.fetchone() == (count,):
                return
            await asyncio.sleep(0.01)


async def test_two_servers_with_calls_of_the_same_jobs_do_not_lock_each_other_out(
    team: Team, provider: Provider, others: list[psycopg.AsyncConnection], postgres_url: str
) -> None:
    """13 % of the calls of two busy servers were answered 503; some of those had been recorded and were billed."""
    blocking, other = others
    lock = "SELECT id FROM jobs WHERE id = %s FOR UPDATE"
    first, low, high = [await team.create_job() for _ in range(3)]  # ids made later sort later
    await team.call(first)
    await blocking.execute(lock, [first])
    await other.execute(lock, [low])
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as looking:
        # given a batch that holds the high job and wants the low one
        calls = [asyncio.create_task(team.call(first))]
        await until_waiting(looking, 1)
        for job_id in (high, low, low):
            calls.append(asyncio.create_task(team.call(job_id)))
            await team.http.get("/health/live")  # answered after the call before it has reached the queue
        await blocking.rollback()
        await provider.wait_requests("ok", 2)
        await until_waiting(looking, 1)
        # when a server that holds the low job wants the high one
        await other.execute(lock, [high])
        await other.rollback()
    # then both go on
    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [200] * 4
    for job_id in (first, low, high):
        assert (await team.complete(job_id)).status_code == 200
    (await Books.of(team)).check()
