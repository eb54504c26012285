"""A client that goes away: its provider is let go at once, its call is recorded, nothing is left running or held."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from control_plane.settings import Settings
from tests.calls.sse import only_call, streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.server import (
    COST_NANO_USD,
    COST_USD,
    INPUT_PRICE,
    OUTPUT_PRICE,
    Server,
    Team,
    call_body,
    new_team,
    serving,
)


async def until_nothing_runs(server: Server) -> None:
    """Until the server has no call in flight and no request at work."""
    async with asyncio.timeout(PATIENCE_S):
        while server.services.calls.in_flight.calls or server.uvicorn.server_state.tasks:  # noqa: ASYNC110 - as it says
            await asyncio.sleep(0.01)


def our_tasks() -> set[asyncio.Task[Any]]:
    """The tasks that run, without the provider's: it has one for each connection that is kept for the next call."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}


@pytest.mark.parametrize("behaviour", ["hold", "slow"])
async def test_leaving_a_stream_costs_what_was_produced(
    server: Server, team: Team, provider: Provider, behaviour: str
) -> None:
    """At the first, a middle and the last piece; while the provider is silent, and while it talks."""
    for left, pieces in enumerate({"hold": [1, 3], "slow": [1, 5, len(WORDS)]}[behaviour], start=1):
        job_id = await team.create_job()
        async with streaming(team, job_id, behaviour) as stream:
            await stream.pieces(pieces)
        if pieces < len(WORDS):
            await provider.wait_closed(behaviour, left)
        await until_nothing_runs(server)
        call = await only_call(team, job_id)
        bill = (await team.complete(job_id)).json()["costs"]
        if pieces < len(WORDS):  # with the last piece the provider may have ended before the client did
            assert (call["status"], call["error"], call["estimated"]) == ("cancelled", "client_closed", True)
            assert pieces <= call["completion_tokens"] < len(WORDS)
            assert bill["successful_calls"] == 0
        tokens = call["prompt_tokens"] * INPUT_PRICE + call["completion_tokens"] * OUTPUT_PRICE
        assert bill["total_cost_usd"] == call["cost_usd"] == pytest.approx(tokens)
        assert bill["total_tokens"] == call["prompt_tokens"] + call["completion_tokens"] > 0
    (await Books.of(team)).check()


async def test_a_job_of_one_stream_that_is_left_is_closed_and_what_was_delivered_paid(
    server: Server, team: Team, provider: Provider
) -> None:
    """Hanging up before the last piece would make every answer free (D11); before the first it costs nothing."""
    behaviours = ["hold0", "timeout", "hold"]
    for behaviour in behaviours:
        async with server.client(team.key) as client:
            body = {"job_type": "test", **call_body(behaviour)}
            asking = asyncio.create_task(client.post("/api/jobs/create-and-call-stream", json=body))
            await provider.wait_requests(behaviour)
            if behaviour == "hold":
                await provider.wait_chunks(behaviour, 3)
            asking.cancel()
            await asyncio.wait([asking])
        await provider.wait_closed(behaviour)
        await until_nothing_runs(server)
    books = await Books.of(team)
    books.check()
    assert sorted(job["status"] for job in books.jobs) == ["completed", "failed", "failed"]
    assert (books.credits["credits_used"], books.credits["credits_available"]) == (1, 99)
    assert {(call["status"], call["error"]) for call in books.calls} == {("cancelled", "client_closed")}


async def test_leaving_at_once_leaves_nothing(server: Server, team: Team) -> None:
    """Clients that close the connection a moment after the request was sent: whatever point that hits."""
    job_id = await team.create_job()
    turns = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]
    async with server.client(team.key) as client:
        for number in turns:
            path = f"/api/jobs/{job_id}/llm-call-stream" if number % 2 else "/api/jobs/create-and-call-stream"
            asking = asyncio.create_task(client.post(path, json={"job_type": "test", **call_body("rolehold")}))
            while not server.uvicorn.server_state.tasks and not asking.done():  # noqa: ASYNC110 - uvicorn tells nobody
                await asyncio.sleep(0)
            for _ in range(number):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            await until_nothing_runs(server)
    assert (await team.complete(job_id)).status_code == 200
    books = await Books.of(team)
    books.check()
    assert all(job["completed_at"] for job in books.jobs)
    assert {call["status"] for call in books.calls} <= {"cancelled"}


async def test_a_buffered_call_whose_client_leaves_runs_to_its_end(
    server: Server, team: Team, provider: Provider
) -> None:
    """The provider charges for it anyway, and the client may ask the job what became of it."""
    job_id = await team.create_job()
    async with server.client(team.key) as client:
        asking = asyncio.create_task(client.post(f"/api/jobs/{job_id}/llm-call", json=call_body("hold")))
        await provider.wait_requests("hold")
        asking.cancel()
        await asyncio.wait([asking])
    provider.release("hold")
    await provider.wait_finished("hold")
    await until_nothing_runs(server)
    call = await only_call(team, job_id)
    assert (call["status"], call["cost_usd"]) == ("succeeded", COST_USD)
    assert (await team.complete(job_id)).json()["costs"]["total_cost_usd"] == COST_USD


async def test_leaving_while_the_end_is_written_is_an_end(server: Server, team: Team, provider: Provider) -> None:
    """The record and the departure race; whichever wins, the call is recorded once and the job can be billed."""
    job_id = await team.create_job()
    rounds = 12
    for number in range(rounds):
        async with streaming(team, job_id) as stream:
            await stream.pieces(len(WORDS))
            for _ in range(number):
                await asyncio.sleep(0)
        await until_nothing_runs(server)
    books = await Books.of(team)
    assert len(books.calls) == rounds
    assert {call["status"] for call in books.calls} <= {"succeeded", "cancelled"}
    bill = (await team.complete(job_id)).json()["costs"]
    assert bill["total_calls"] == rounds
    assert bill["total_cost_usd"] == pytest.approx(sum(call["cost_usd"] for call in books.calls))
    (await Books.of(team)).check()


async def test_thirty_open_streams_leave_no_task_and_hold_no_connection(settings: Settings, provider: Provider) -> None:
    """A database of few connections would be closed to everybody else by whoever opens a few streams."""
    narrow = settings.model_copy(update={"database_pool_size": 2})
    async with serving(narrow) as server, new_team(server) as team:
        job_id = await team.create_job()
        async with streaming(team, job_id, "hold") as stream:  # the first calls leave what stays for good
            await stream.pieces(3)
        assert (await team.call(await team.create_job())).status_code == 200
        await until_nothing_runs(server)
        before = our_tasks()
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=server.url, headers=team.http.headers, limits=limits) as many:
            crowd = Team(team.id, team.key, many, team.admin)
            async with AsyncExitStack() as stack:
                streams = [await stack.enter_async_context(streaming(crowd, job_id, "hold")) for _ in range(30)]
                await asyncio.gather(*(stream.pieces(3) for stream in streams))
                assert len(server.services.calls.in_flight.calls) == 30
                async with asyncio.timeout(PATIENCE_S):
                    other = await team.create_job()
                    answers = await asyncio.gather(*(team.call(other) for _ in range(10)))
                    assert [answer.status_code for answer in answers] == [200] * 10
                    assert (await team.complete(other)).json()["costs"]["successful_calls"] == 10
        await provider.wait_closed("hold", 31)
        await until_nothing_runs(server)
        async with asyncio.timeout(PATIENCE_S):
            while our_tasks() - before:  # noqa: ASYNC110 - tasks tell nobody
                await asyncio.sleep(0.01)
        bill = (await team.complete(job_id)).json()["costs"]
        assert (bill["total_calls"], bill["successful_calls"]) == (31, 0)
        assert 0 < bill["total_cost_usd"] < 31 * COST_NANO_USD / 1e9
        (await Books.of(team)).check()
