"""Calls whose client may name a job: joined, completed with the call, or in a job of their own."""

from uuid import UUID

import pytest
import pytest_asyncio

from control_plane.calls.requests import CallRequest
from control_plane.calls.runner import CallRunner, JobRef
from control_plane.chat import ChatRequest, EndpointRequest
from control_plane.errors import JobClosed, LlmCallFailed
from control_plane.ids import JobId
from control_plane.jobs.values import NewJob
from control_plane.tenants.principal import Principal
from tests.support.ledger import Books
from tests.support.server import Server, Team

EMBEDDING = CallRequest(EndpointRequest("embeddings", {"input": ["hello"]}, ["hello"]), model_group="ok")


def chat(group: str = "ok") -> CallRequest:
    return CallRequest(ChatRequest([{"role": "user", "content": "hi"}]), model_group=group)


@pytest.fixture
def runner(server: Server) -> CallRunner:
    return server.services.call_runner


@pytest_asyncio.fixture
async def principal(server: Server, team: Team) -> Principal:
    return await server.services.keys.authenticate(team.key)


async def job_of(team: Team, *, completes: bool = False) -> JobRef:
    return JobRef(NewJob("test"), job_id=JobId(UUID(await team.create_job())), completes=completes)


async def test_calls_join_the_job_they_name(runner: CallRunner, principal: Principal, team: Team) -> None:
    job_ref = await job_of(team)
    assert (await runner.complete(principal, job_ref, chat())).bill is None
    assert (await runner.complete(principal, job_ref, EMBEDDING)).bill is None
    stream = await runner.stream(principal, job_ref, chat())
    assert [event async for events in stream for event in events]
    await stream.end(lambda _: b"")
    bill = (await team.complete(str(job_ref.job_id))).json()
    assert bill["costs"]["successful_calls"] == 3
    (await Books.of(team)).check()


async def test_the_last_call_completes_the_job(runner: CallRunner, principal: Principal, team: Team) -> None:
    job_ref = await job_of(team, completes=True)
    done = await runner.complete(principal, job_ref, chat())
    assert done.bill is not None
    assert (done.bill.job.status, done.bill.job.credits_charged) == ("completed", 1)
    with pytest.raises(JobClosed):
        await runner.complete(principal, job_ref, chat())
    assert (await team.credits())["credits_used"] == 1


async def test_the_last_stream_completes_the_job(runner: CallRunner, principal: Principal, team: Team) -> None:
    job_ref = await job_of(team, completes=True)
    stream = await runner.stream(principal, job_ref, chat())
    assert [event async for events in stream for event in events]
    await stream.end(lambda _: b"")
    assert (await team.http.get(f"/api/jobs/{job_ref.job_id}")).json()["status"] == "completed"
    assert (await team.credits())["credits_used"] == 1


async def test_a_call_that_fails_leaves_its_job_open(runner: CallRunner, principal: Principal, team: Team) -> None:
    job_ref = await job_of(team, completes=True)
    with pytest.raises(LlmCallFailed):
        await runner.complete(principal, job_ref, chat("e500"))
    assert (await runner.complete(principal, job_ref, chat())).bill is not None


async def test_without_a_job_a_call_has_its_own(runner: CallRunner, principal: Principal, team: Team) -> None:
    alone = JobRef(NewJob("test"))
    for done in (await runner.complete(principal, alone, chat()), await runner.complete(principal, alone, EMBEDDING)):
        assert done.bill is not None
        assert done.bill.job.credits_charged == 1
    stream = await runner.stream(principal, alone, chat())
    assert [event async for events in stream for event in events]
    await stream.end(lambda _: b"")
    assert (await team.credits())["credits_used"] == 3
    (await Books.of(team)).check()
