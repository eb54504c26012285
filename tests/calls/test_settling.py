"""Whatever fails while a call ends, it ends: it is recorded once, its job can be completed, and nothing stays held."""

from collections.abc import Iterator

import pytest

from control_plane import failpoints
from control_plane.failpoints import Name
from tests.calls.sse import only_call, streaming
from tests.support.ledger import Books
from tests.support.server import Server, Team

ALWAYS: tuple[Name, ...] = (
    "rendering",
    "building_record",
    "writing_record",
    "settling_permit",
    "logging_call",
    "caching_answer",
)
STREAMED: tuple[Name, ...] = ("closing_upstream", "settling")
LOSES_THE_ANSWER = {"rendering", "building_record", "writing_record"}
"""Steps without which the client has no answer, or the call is not recorded."""


@pytest.fixture
def failing() -> Iterator[None]:
    yield
    failpoints.arm_failure(None)


async def assert_all_is_given_back(server: Server, team: Team, job_id: str, *, is_charged: bool) -> None:
    failpoints.arm_failure(None)
    bill = await team.complete(job_id)
    assert bill.status_code == 200, "no call is left open"
    assert bill.json()["costs"]["credits_charged"] == is_charged
    assert (await team.credits())["credits_held"] == 0
    assert not server.services.calls.in_flight.calls
    (await Books.of(team)).check()


@pytest.mark.parametrize("step", ALWAYS)
async def test_a_buffered_call_ends_whatever_fails(server: Server, team: Team, failing: None, step: Name) -> None:
    job_id = await team.create_job()
    failpoints.arm_failure(step)
    answer = await team.call(job_id, "ok")
    is_lost = step in LOSES_THE_ANSWER
    assert answer.status_code == (500 if is_lost else 200)
    call = await only_call(team, job_id)
    assert call["status"] == ("failed" if is_lost else "succeeded")
    await assert_all_is_given_back(server, team, job_id, is_charged=not is_lost)


@pytest.mark.parametrize("step", [*ALWAYS, *STREAMED])
async def test_a_stream_ends_whatever_fails(server: Server, team: Team, failing: None, step: Name) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "ok") as stream:
        failpoints.arm_failure(step)
        await stream.rest()
    is_lost = step in LOSES_THE_ANSWER
    assert ("error" in stream.events[-1]) is is_lost
    call = await only_call(team, job_id)
    assert call["status"] == ("failed" if is_lost else "succeeded")
    assert call["estimated"] is (step == "settling")
    await assert_all_is_given_back(server, team, job_id, is_charged=not is_lost)


@pytest.mark.parametrize("step", ["settling", "closing_upstream", "building_record", "settling_permit"])
async def test_a_stream_that_its_client_leaves_ends_whatever_fails(
    server: Server, team: Team, failing: None, step: Name
) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "hold") as stream:
        await stream.pieces(2)
        failpoints.arm_failure(step)
    await server.services.calls.in_flight.wait_until_idle(20)
    is_lost = step == "building_record"
    call = await only_call(team, job_id)
    assert call["status"] == ("failed" if is_lost else "cancelled")
    await assert_all_is_given_back(server, team, job_id, is_charged=not is_lost)
