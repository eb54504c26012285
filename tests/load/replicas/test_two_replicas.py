"""Two replicas on one Postgres, of which one is starved, freezes, or is cut off: the other serves, and no call is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from control_plane.storage.database import Database
from tests.acceptance.processes.process import Process, server
from tests.calls.sse import streaming
from tests.load.chaos.checks import find_inconsistencies
from tests.load.replicas.silent_proxy import SilentProxy
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import Server, Team, config_for, new_team, serving, settings_for, write_config

pytestmark = pytest.mark.replicas

HASTY = {"database_timeout_s": 2, "lease_s": 6, "database_pool_size": 4}
"""Bounds of a replica, and the fewest connections that it may have."""

CLIENTS = 60


@dataclass(frozen=True)
class Pair:
    """`victim` is a process; `other` runs here, and `team` is a client of it."""

    victim: Process
    other: Server
    team: Team

    at_victim: Team
    """The same team as a client of the victim."""


Pairing = Callable[..., AbstractAsyncContextManager[Pair]]


@pytest.fixture
def pair(tmp_path: Path, postgres_url: str, provider: Provider) -> Pairing:
    config = write_config(tmp_path, config_for(provider))

    @asynccontextmanager
    async def started(victims_url: str = postgres_url, **more: object) -> AsyncIterator[Pair]:
        settings = settings_for(postgres_url, config, **HASTY)
        async with (
            serving(settings) as other,
            server(tmp_path, database_url=victims_url, config=config, **HASTY, **more) as victim,
            new_team(other, credits_allocated=10**6) as team,
            httpx.AsyncClient(base_url=victim.url, headers=team.http.headers, timeout=60) as http,
        ):
            yield Pair(victim, other, team, Team(team.id, team.key, http, team.admin))

    return started


async def until(claim: Callable[[], Awaitable[bool]]) -> None:
    """Until the claim holds; the test's own time is its bound."""
    async with asyncio.timeout(60):
        while not await claim():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)


async def test_a_starved_replica_loses_none_of_its_streams(pair: Pairing, provider: Provider) -> None:
    """Its heartbeat waited for a connection behind its customers, and the idle one declared all its calls lost."""
    async with pair() as both, AsyncExitStack() as stack:
        team = both.at_victim
        jobs = [await team.create_job() for _ in range(5)]
        streams = [await stack.enter_async_context(streaming(team, job_id, "hold")) for job_id in jobs]
        await asyncio.gather(*(stream.pieces(1) for stream in streams))
        customers = [asyncio.create_task(create_for_ever(team)) for _ in range(CLIENTS)]
        try:
            await until_renewed_for_two_leases(both.other.services.db)
        finally:
            for customer in customers:
                customer.cancel()
            await asyncio.gather(*customers, return_exceptions=True)
        provider.release("hold")
        await asyncio.gather(*(stream.rest() for stream in streams))
        assert await statuses(both.other.services.db) == {"succeeded": len(streams)}


async def create_for_ever(team: Team) -> None:
    while True:
        await team.http.post("/api/jobs/create", json={"job_type": "test"}, headers={"Idempotency-Key": str(uuid4())})


async def until_renewed_for_two_leases(db: Database) -> None:
    """The heartbeats of both went on for two leases, by the database's clock."""
    since = await oldest_heartbeat(db)

    async def went_on() -> bool:
        return (await oldest_heartbeat(db) - since).total_seconds() > 2 * HASTY["lease_s"]

    await until(went_on)


async def oldest_heartbeat(db: Database) -> datetime:
    async with db.reader() as reader:
        rows = list(await reader.execute(text("SELECT seen_at, died_at FROM workers")))
    assert [row.died_at for row in rows] == [None, None]
    oldest: datetime = min(row.seen_at for row in rows)
    return oldest


async def statuses(db: Database) -> dict[str, int]:
    async with db.reader() as reader:
        rows = await reader.execute(text("SELECT status, count(*) FROM calls GROUP BY status"))
        return dict(tuple(row) for row in rows)


async def test_a_replica_that_freezes_in_a_transaction_keeps_its_locks_for_seconds(pair: Pairing) -> None:
    """The team whose balance it held was refused everywhere, until TCP would give up."""
    async with pair(failpoint="in_flush:1:freeze") as both:
        job_id, other_job = await both.team.create_job(), await both.team.create_job()
        async with new_team(both.other) as bystander:
            bystanders_job = await bystander.create_job()
            frozen = asyncio.create_task(both.at_victim.call(job_id))
            await until_stopped(both.victim)
            refused, served = await asyncio.gather(both.team.call(other_job), bystander.call(bystanders_job))
            assert served.status_code == 200, "another team's call was refused with it"
            assert refused.status_code == 200 or is_busy(refused), refused.text

            async def is_served() -> bool:
                return (await both.team.call(other_job)).status_code == 200

            await until(is_served)
        both.victim.send(signal.SIGCONT)
        await until(lambda: is_ready(both.victim))
        assert (await frozen).status_code in {200, 503}
        assert (await both.at_victim.call(job_id)).status_code == 200
        assert "lost" not in await statuses(both.other.services.db)
        assert await find_inconsistencies(both.other.services.db) == []


async def until_stopped(process: Process) -> None:
    async def stopped() -> bool:
        return is_stopped(process)

    await until(stopped)


def is_stopped(process: Process) -> bool:
    status = Path(f"/proc/{process.running.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"


def is_busy(answer: httpx.Response) -> bool:
    found = (answer.status_code, answer.json()["error"]["code"])
    return found == (503, "database_busy") and int(answer.headers["Retry-After"]) > 0


async def is_ready(process: Process) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        return (await http.get(f"{process.url}/health/ready")).status_code == 200


async def test_a_replica_that_is_cut_off_in_a_transaction_admits_nothing_until_it_is_back(
    pair: Pairing, postgres_url: str
) -> None:
    async with SilentProxy(postgres_url).running() as network, pair(victims_url=network.url) as both:
        job_id = await both.team.create_job()
        cut_off = both.at_victim
        assert (await cut_off.call(job_id)).status_code == 200, "four connections are enough"
        network.go_silent_behind(b"credit_balances")
        unheard = asyncio.create_task(cut_off.call(job_id))
        await network.silent.wait()

        async def is_served() -> bool:
            answer = await both.team.call(job_id)
            assert answer.status_code == 200 or is_busy(answer), answer.text
            return answer.status_code == 200

        await until(is_served)
        assert (await unheard).status_code == 503
        await until(lambda: refuses_at_once(cut_off))
        assert not await is_ready(both.victim)
        network.forward_again()
        await until(lambda: is_ready(both.victim))
        assert (await cut_off.call(job_id)).status_code == 200
        assert await find_inconsistencies(both.other.services.db) == []


async def refuses_at_once(team: Team) -> bool:
    """A request that needs no database is refused, too: what it began would be taken for dead."""
    answer = await team.http.post("/api/jobs/create", content=b"")
    if answer.status_code != 503:
        return False
    assert answer.headers["Retry-After"] == "2"
    return "takes nothing new" in answer.json()["error"]["message"]
