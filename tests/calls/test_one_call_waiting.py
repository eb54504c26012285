"""A job of one call that was made has had its turn: what follows in it waits as long as it must."""

from control_plane import waiting
from control_plane.calls.requests import CallRequest
from control_plane.calls.runner import JobRef
from control_plane.chat import ChatRequest
from control_plane.ids import JobId
from control_plane.jobs.values import NewJob
from tests.support.server import Server, Team, call_body


async def test_a_call_whose_job_was_made_waits_as_long_as_it_must(server: Server, team: Team) -> None:
    bounded: list[bool] = []

    async def prepare(_job_id: JobId, call_request: CallRequest) -> CallRequest:
        bounded.append(waiting.is_bounded())
        return call_request

    principal = await server.services.keys.authenticate(team.key)
    call_request = CallRequest(ChatRequest([{"role": "user", "content": "Hello"}], {}), model_group="ok")
    waiting.wait_at_most(60)
    await server.services.call_runner.complete(principal, JobRef(NewJob("test")), call_request, prepare)
    assert bounded == [False]


async def test_a_job_that_nobody_asks_for_again_is_made_with_its_call(server: Server, team: Team) -> None:
    async def writes(headers: dict[str, str]) -> set[str]:
        before = await queued(team)
        answer = await team.http.post(
            "/api/jobs/create-and-call", json={"job_type": "x", **call_body()}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        return {turn for turn, count in (await queued(team)).items() if count > before.get(turn, 0)}

    assert "call" not in await writes({}), "its call is written with it"
    assert {"job", "call"} <= await writes({"Idempotency-Key": "again"})


async def queued(team: Team) -> dict[str, float]:
    lines = (await team.http.get("/metrics")).text.splitlines()
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines if "queue_seconds_count{" in line}
