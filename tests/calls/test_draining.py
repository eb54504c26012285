"""A server whose grace is over: it tells every client that still waits, and records what their calls have cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.lowlevel
import httpx
import pytest

from control_plane.calls.in_flight import InFlight
from control_plane.settings import Settings
from tests.calls.sse import streaming
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import INPUT_PRICE, OUTPUT_PRICE, Team, call_body, new_team, serving


@asynccontextmanager
async def again(settings: Settings, team: Team) -> AsyncIterator[Team]:
    """The team at the next server on the same database."""
    async with serving(settings) as server, server.client(team.key) as http:
        yield Team(team.id, team.key, http, team.admin)


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"shutdown_grace_s": 0})


@pytest.mark.parametrize("alone", [False, True], ids=["in a job", "alone"])
async def test_a_stream_is_ended_with_an_error_and_recorded(
    impatient: Settings, provider: Provider, alone: bool
) -> None:
    async with serving(impatient) as server, new_team(server) as team:
        job_id = None if alone else await team.create_job()
        async with streaming(team, job_id, "hold") as stream:
            await stream.pieces(3)
            await server.stop()
            (error,) = await stream.rest()
        assert error["error"]["code"] == "shutting_down"
        await provider.wait_closed("hold")
    async with again(impatient, team) as team:
        if job_id is not None:
            bill = (await team.complete(job_id)).json()["costs"]
            assert bill["total_cost_usd"] > 0
        books = await Books.of(team)
        books.check()
        (call,) = books.calls
        assert (call["status"], call["error"], call["completion_tokens"]) == ("cancelled", "drained", 3)
        assert call["cost_usd"] == pytest.approx(call["prompt_tokens"] * INPUT_PRICE + 3 * OUTPUT_PRICE)
        assert books.jobs[0]["status"] == ("failed" if alone else "completed")


@pytest.mark.parametrize("alone", [False, True], ids=["in a job", "alone"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "stream"])
async def test_a_call_without_an_answer_yet_is_told_503_and_recorded(
    impatient: Settings, provider: Provider, alone: bool, is_stream: bool
) -> None:
    """An implicit job is also closed before the services are: no other process would close it."""
    async with serving(impatient) as server, new_team(server) as team:
        job_id = None if alone else await team.create_job()
        path = f"/api/jobs/{job_id}/llm-call" if job_id else "/api/jobs/create-and-call"
        body = {"job_type": "test", **call_body("timeout")}
        asking = asyncio.create_task(team.http.post(path + ("-stream" if is_stream else ""), json=body))
        await provider.wait_requests("timeout")
        await server.stop()
        answer: httpx.Response = await asking
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
        assert "Retry-After" in answer.headers
        await provider.wait_closed("timeout")
    async with again(impatient, team) as team:
        if job_id is not None:
            assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 0  # nothing was delivered
        books = await Books.of(team)
        books.check()
        assert [(call["status"], call["error"]) for call in books.calls] == [("cancelled", "drained")]
        assert books.jobs[0]["status"] == ("failed" if alone else "completed")


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_work_that_must_not_be_left_half_done_is_not(how: str) -> None:
    """Of a client that leaves and of a server that stops: between the halves a call would be open for ever."""
    in_flight = InFlight()
    half, whole = asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def work() -> str:
        half.set()
        await whole.wait()
        done.append("work")
        return "done"

    scope = anyio.CancelScope()

    async def asking() -> None:
        with scope:
            done.append(await in_flight.run_to_completion(work()))
            await anyio.lowlevel.checkpoint()
            done.append("never")

    task = asyncio.create_task(asking())
    await half.wait()
    for _ in range(3):
        if how == "scope":
            scope.cancel()
        else:
            task.cancel()
        await asyncio.sleep(0)
    whole.set()
    await asyncio.wait([task])
    assert done == ["work", "done"]
    await in_flight.wait_until_idle(1)
