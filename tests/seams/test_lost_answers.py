"""The answer to a COMMIT is lost: what was written happened once, is billed once, and the client hears what is true."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from control_plane import failpoints
from control_plane.calls.writer import CallWriter
from control_plane.ids import CallId, new_id
from control_plane.jobs import calls_store
from control_plane.jobs.rules import CallStatus
from control_plane.jobs.undelivered import record_of
from tests.load.chaos.checks import find_inconsistencies, rows
from tests.seams.accounts import Accounts, metered
from tests.seams.lossy import Lossy, lossy
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, Team, call_body, config_for, serving, settings_for, write_config

RECORD = b"INSERT INTO calls"
JOB = b"INSERT INTO jobs"
REPORT = b"INSERT INTO spend_logs"
KEY = b"INSERT INTO idempotency_keys"


@pytest_asyncio.fixture
async def network(postgres_url: str) -> AsyncIterator[Lossy]:
    async with lossy(postgres_url) as way:
        yield way


@pytest_asyncio.fixture
async def behind(network: Lossy, provider: Provider, tmp_path: Path) -> AsyncIterator[Server]:
    config = config_for(provider, litellm_settings={"drop_params": True, "cache": True})
    async with serving(settings_for(network.url, write_config(tmp_path, config))) as server:
        yield server


async def test_whatever_is_lost_happens_once_and_is_answered(
    behind: Server, network: Lossy, provider: Provider
) -> None:
    async with metered(behind) as team:
        network.lose(JOB)
        job_id = await team.create_job()
        assert (len((await Books.of(team)).jobs), (await team.credits())["credits_held"]) == (1, 1)
        # a call's record: its answer is given, charged, and may be given again
        network.lose(RECORD)
        answer = await team.call(job_id)
        assert answer.status_code == 200, answer.text
        assert network.lost == 2
        assert (await team.call(job_id)).headers["X-Cached"] == "true"
        # the completion: the bill is answered
        network.lose(b"UPDATE jobs SET status")
        assert (await team.complete(job_id)).json()["costs"]["successful_calls"] == 2
        assert network.lost == 3
        assert await Accounts.of(team, provider) == Accounts(given=1, charged=1, at_risk=0)
        # LiteLLM's report of a call: written once
        network.lose(REPORT)
        reported = await team.http.post("/api/jobs/create-and-call", json={"job_type": "a", **call_body(text="Other")})
        assert reported.status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            while network.lost < 4:  # noqa: ASYNC110 - it comes when it likes
                await asyncio.sleep(0.02)
        # the claim of an idempotency key: the request is done, and its key is in nobody's hands
        network.lose(KEY)
        body, headers = {"job_type": "b"}, {"Idempotency-Key": "k"}
        first = await team.http.post("/api/jobs/create", json=body, headers=headers)
        again = await team.http.post("/api/jobs/create", json=body, headers=headers)
        assert (first.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
        assert network.lost == 5
        assert await Accounts.of(team, provider) == Accounts(given=2, charged=2, at_risk=0)
        # a job that an SDK repeats: the one before it is free, and no other
        chat: Any = {"model": "ok", "messages": [{"role": "user", "content": "Third"}]}
        for tries in (0, 0, 1):
            if tries:
                network.lose(JOB)
            headers = {"X-Stainless-Retry-Count": str(tries), "Cache-Control": "no-store"}
            assert (await team.http.post("/v1/chat/completions", json=chat, headers=headers)).status_code == 200
        assert await Accounts.of(team, provider) == Accounts(given=5, charged=4, at_risk=1)
        # calls that are cut to fit a cap, and one whose answer cannot be rendered
        job_id = await team.create_job(max_cost_usd=2 * COST_USD, on_cap="clamp")
        for text, status in (("Fourth", 200), ("Fifth", 200)):
            network.lose(RECORD)
            assert (await team.call(job_id, text=text, max_tokens=1000)).status_code == status
        await team.complete(job_id)
        network.lose(RECORD)
        failpoints.arm_failure("rendering")
        try:
            assert (await team.call(await team.create_job(), text="Sixth")).status_code == 500
        finally:
            failpoints.arm_failure(None)
        assert network.lost == 9
        assert await Accounts.of(team, provider) == Accounts(given=8, charged=6, at_risk=2)
        assert await find_inconsistencies(behind.services.db) == []
    assert await rows(behind.services.db, "SELECT call_id FROM spend_logs GROUP BY call_id HAVING count(*) > 1") == []


async def test_who_is_told_that_nothing_was_billed_is_not_billed(
    behind: Server, network: Lossy, provider: Provider
) -> None:
    """The database stays away for longer than the request waits: what was committed is put right when it is back."""
    async with metered(behind) as team:
        job_id = await team.create_job()
        network.lose(RECORD, then_away=True)
        assert (await team.call(job_id)).json()["error"]["code"] == "database_unavailable"
        network.come_back()
        await until_no_call_stands(team, job_id)
        assert (await team.call(job_id)).status_code == 200
        await team.complete(job_id)
        assert await Accounts.of(team, provider) == Accounts(given=2, charged=1, at_risk=1)
        # a job nobody heard of holds nothing
        network.lose(JOB, then_away=True)
        assert (await team.http.post("/api/jobs/create", json={"job_type": "a"})).status_code == 503
        network.come_back()
        (await Books.of_closed_jobs(team)).check()
        # and an idempotency key is free for the request that was refused
        network.lose(KEY, then_away=True)
        body, headers = {"job_type": "b"}, {"Idempotency-Key": "k"}
        assert (await team.http.post("/api/jobs/create", json=body, headers=headers)).status_code == 503
        network.come_back()
        async with asyncio.timeout(PATIENCE_S):
            while (  # noqa: ASYNC110 - the server lets go of it by itself
                await team.http.post("/api/jobs/create", json=body, headers=headers)
            ).status_code != 200:
                await asyncio.sleep(0.05)
        assert await find_inconsistencies(behind.services.db) == []


async def until_no_call_stands(team: Team, job_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await team.http.get(f"/api/jobs/{job_id}/costs")
            if answer.is_success and answer.json()["costs"]["breakdown"][0]["status"] == "failed":
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_job_billed_before_its_call_is_put_right_is_refunded_that_call(
    server: Server, provider: Provider
) -> None:
    async with metered(server) as team:
        job_id = await team.create_job()
        for text in ("one", "two"):
            answer = await team.call(job_id, text=text)
        await team.complete(job_id)
        async with server.services.db.reader() as reader:
            call = await calls_store.find(reader, CallId(UUID(answer.json()["call_id"])))
        assert call is not None
        told = replace(record_of(call), status=CallStatus.FAILED, may_be_written=True)
        writer = CallWriter(server.services.db, new_id(), clock=server.services.clock)
        for _ in range(2):
            await writer._write([told])
        assert await Accounts.of(team, provider) == Accounts(given=2, charged=1, at_risk=1)
        (await Books.of(team)).check()
