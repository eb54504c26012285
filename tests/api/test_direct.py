"""A route on the short way takes, and refuses, what FastAPI's own handler of the same route would."""

from typing import Any

import pytest

from control_plane.api.http.direct import DirectHandler, InvalidHeader, is_direct
from control_plane.api.http.routing import AuthenticatedRoute, model_of
from control_plane.app import ROUTERS
from tests.support.server import Team

HOT = {
    "/api/jobs/create",
    "/api/jobs/{job_id}/llm-call",
    "/api/jobs/{job_id}/llm-call-stream",
    "/api/jobs/{job_id}/complete",
    "/api/jobs/create-and-call",
    "/api/jobs/create-and-call-stream",
    "/api/v1/llm/respond",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
}

BODIES: list[Any] = [
    *(b"", b"null", b"[]", b'"text"', b"7", b"{", b"\xff", b'{"a": NaN}', b'"\\ud800"', b"{}"),
    b'{"job_type": 7}',
    b'{"job_type": "test", "ttl_seconds": "soon", "caps": []}',
    b'{"job_type": "test", "strange": 1}',
    b'{"model_group": "ok", "messages": "Hi"}',
    b'{"model_group": "ok", "messages": [{"role": "king"}], "temperature": "warm"}',
    b'{"status": "done"}',
    b'{"status": "completed"}',
    b'{"job_type": "test"}',
    b'{"model_group": "ok", "messages": [{"role": "user", "content": "Hi"}]}',
    b'{"model": "ok", "messages": [{"role": "user", "content": "Hi"}]}',
]


def routes() -> list[AuthenticatedRoute]:
    return [each for of in ROUTERS for each in of.router.routes if isinstance(each, AuthenticatedRoute)]


def test_the_hot_routes_are_called_directly() -> None:
    assert {route.path for route in routes() if is_direct(route, model_of(route))} >= HOT


async def answers(team: Team, headers: dict[str, str]) -> list[tuple[str, bytes, int, Any]]:
    """What is said to every body at every route; of an answer that is no error, only its fields."""
    await team.admin.post(f"/api/teams/{team.id}/credits/add", json={"credits": 1000, "reason": "many jobs"})
    found = []
    for path in ("/api/jobs/create", "/api/jobs/{}/llm-call", "/api/jobs/{}/complete", "/v1/chat/completions"):
        for body in BODIES:
            job = await team.create_job()
            answer = await team.http.post(path.format(job), content=body, headers=headers)
            said = answer.json()
            error = said.get("error")
            what = {**error, "request_id": None} if isinstance(error, dict) else sorted(said)
            found.append((path, body, answer.status_code, what))
    return found


@pytest.mark.parametrize(
    "headers", [{}, {"x-job-complete": "perhaps"}, {"x-job-type": "test", "x-job-complete": "true"}]
)
async def test_what_is_taken_and_refused_is_the_same_as_by_fastapi(
    team: Team, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = await answers(team, headers)

    async def not_direct(*_given: object) -> None:
        raise InvalidHeader

    monkeypatch.setattr(DirectHandler, "arguments", not_direct)
    assert direct == await answers(team, headers)
    assert {status for _, _, status, _ in direct} >= {200, 400}
