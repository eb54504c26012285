"""Requests as clients write them: HEAD, slashes, other methods and types, parameters nobody reads."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.support.server import Team, call_body

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_head_is_get_without_its_body_on_every_route(team: Team, admin: httpx.AsyncClient) -> None:
    job_id = await team.create_job()
    schema = (await admin.get("/openapi.json")).json()
    paths = [path for path, item in schema["paths"].items() if "get" in item]
    assert len(paths) > 20
    for path in [*paths, "/docs", "/openapi.json", "/nowhere"]:
        names = {"job_id": job_id, "team_id": team.id, "name": "ok"}
        url = re.sub(r"{(\w+)(:path)?}", lambda found, names=names: names.get(found[1], "x"), path)  # type: ignore[misc]
        whole, head = await admin.get(url), await admin.head(url)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers["content-type"] == whole.headers["content-type"], path
    for path in ("/health", "/health/live", "/health/ready"):
        assert (await admin.head(path)).status_code == 200
    assert (await team.http.head("/v1/models")).status_code == 200


async def test_a_slash_at_the_end_is_served_and_leads_to_no_other_host(team: Team) -> None:
    for method, path in (("GET", "/v1/models/"), ("GET", "/health/"), ("POST", "/api/jobs/create/")):
        answer = await team.http.request(method, path, json={"job_type": "t"}, headers={"Host": "evil.example"})
        assert answer.status_code == 200, (path, answer.text)
        assert "evil" not in str(answer.headers)
    page = await team.http.post("/api/v1/llm/respond/", json={"messages": "x"}, headers={"Origin": "https://a.example"})
    assert (page.status_code, page.headers["vary"]) == (403, "Origin"), "as without the slash"


async def test_a_wrong_method_is_405_and_names_the_right_ones(team: Team, admin: httpx.AsyncClient) -> None:
    for client, method, path, allowed in (
        (team.http, "GET", "/api/jobs/create", "POST"),
        (team.http, "HEAD", "/api/jobs/create", "POST"),
        (team.http, "GET", "/api/jobs/create-and-call", "POST"),
        (team.http, "GET", "/api/jobs/create/", "POST"),
        (admin, "GET", "/api/teams/create", "POST"),
        (admin, "PUT", "/api/teams/create", "POST"),
        (admin, "GET", "/api/organizations/create", "POST"),
        (team.http, "GET", "/v1/chat/completions", "POST"),
        (team.http, "DELETE", "/api/jobs/create", "POST"),
        (team.http, "GET", "/api/teams/create", "POST"),
        (team.http, "GET", "/api/organizations/create", "POST"),
        (team.http, "POST", "/health/live", "GET, HEAD"),
        (team.http, "POST", "/v1/models", "GET, HEAD"),
    ):
        answer = await client.request(method, path, json={} if method in ("PUT", "POST") else None)
        assert (answer.status_code, answer.headers.get("allow"), path) == (405, allowed, path), answer.text
        if method != "HEAD":
            assert allowed in answer.json()["error"]["message"]
    made = await admin.post("/api/teams/create", json={"team_id": "create"})
    assert made.status_code == 200
    assert (await admin.get("/api/teams/create")).json()["team_id"] == "create", "a name that a route has, too"


async def test_a_body_is_json_whatever_its_type_says(team: Team) -> None:
    body = json.dumps({"job_type": "t"}).encode()
    for kind in (None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "x"):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await team.http.post("/api/jobs/create", content=body, headers=headers)
        assert answer.status_code == 200, (kind, answer.text)
        wrong = await team.http.post("/api/jobs/create", content=b"job_type=t", headers=headers)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_json"), kind
    chat = json.dumps({"model": "ok", **call_body(None)}).encode()
    assert (await team.http.post("/v1/chat/completions", content=chat)).status_code == 200


async def test_parameters_of_the_query_that_nobody_reads_are_named(team: Team) -> None:
    answer = await team.http.get(f"/api/teams/{team.id}/jobs?limit=5&statuss=pending&x%0d%0ay=1")
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "statuss, x  y"
    answer = await team.http.post(
        "/v1/messages?beta=true", json={"model": "ok", "max_tokens": 5, "top_q": 1, **call_body(None)}
    )
    assert answer.status_code == 200, answer.text
    assert set(answer.headers["x-ignored-fields"].split(", ")) == {"beta", "top_q"}
    known = await team.http.get(f"/api/teams/{team.id}/jobs?limit=5&status=pending")
    assert "x-ignored-fields" not in known.headers


async def test_an_answer_with_a_key_is_stored_by_no_cache(team: Team, admin: httpx.AsyncClient) -> None:
    made = await admin.post("/api/teams/create", json={"team_id": "new"})
    key = await admin.post(f"/api/teams/{team.id}/keys", json={})
    rotated = await admin.post(f"/api/teams/{team.id}/keys/{key.json()['key_id']}/rotate", json={})
    for answer in (made, key, rotated):
        assert answer.json()["virtual_key"].startswith("sk-"), answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [99, 200, 256, 900])
async def test_what_a_tool_said_is_refused_when_it_is_too_deep_to_be_written(team: Team, depth: int) -> None:
    call = {"id": "1", "name": "f", "arguments": {}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": nested(depth)},
    ]
    answer = await team.http.post("/api/v1/llm/respond", json={"model": "ok", "messages": messages})
    expected = 200 if depth < 100 else 422
    assert answer.status_code == expected, answer.text
    ignored = await team.http.post(
        "/api/v1/llm/respond", json={"model": "ok", "messages": messages[:1], "x": nested(depth)}
    )
    assert ignored.status_code == expected, ignored.text
    assert ("x-ignored-fields" in ignored.headers) is (expected == 200)
