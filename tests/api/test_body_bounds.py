"""What a request costs before it is admitted is bounded by its size: bodies, schemas, counting, answers that are kept."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.http.body_budget import BodyBudget, HeldBody
from control_plane.api.http.body_scan import BodyScan
from control_plane.errors import BodiesTooLarge, TeamBodiesTooLarge
from control_plane.gateway.json_schemas import SchemasTooLarge, check_size
from tests.support.provider import Provider
from tests.support.server import Server, Team, call_body, config_for, new_team, serving, settings_for, write_config

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Json = dict[str, Any]

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\[]{},é', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a"\\{', max_size=3), inner, max_size=4)
    ),
)


def depth_of(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((depth_of(each) for each in (value.values() if isinstance(value, dict) else value)), default=0)


def members_of(value: Any) -> int:
    """Containers, and the commas between their members."""
    if not isinstance(value, dict | list):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(inner) - 1) + sum(map(members_of, inner))


@given(VALUES, st.booleans(), st.lists(st.integers(0, 300), max_size=6))
def test_a_body_is_counted_as_it_is_wherever_it_is_cut(value: Any, is_ascii: bool, cuts: list[int]) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":")).encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    scan = BodyScan()
    for begin, end in pairwise(places):
        scan.take(body[begin:end])
    assert (scan.depth, scan.values) == (depth_of(value), members_of(value))


def test_the_data_of_files_is_no_text_and_prose_is() -> None:
    data = base64.b64encode(bytes(range(256)) * 4_000).decode()
    for held in (data, f"data:image/png;base64,{data}", data.replace("/", "\\/")):
        scan = BodyScan()
        body = json.dumps({"a": "hi", "url": held}).replace("\\\\/", "\\/").encode()
        for begin in range(0, len(body), 65_536):
            scan.take(body[begin : begin + 65_536])
        assert scan.chars < 5_000
    scan = BodyScan()
    scan.take(json.dumps({"a": "Guten Tag, Welt. " * 10_000}).encode())
    assert scan.chars > 170_000


def test_bodies_that_are_held_have_a_budget_of_each_team_and_of_all() -> None:
    """30 held bodies on one key took 543 MB of a pod with 1 GiB."""
    budget = BodyBudget(3_000_000, 2_000_000)
    bodies = [HeldBody(budget) for _ in range(4)]
    bodies[0].grow("a", 2_000_000)
    with pytest.raises(TeamBodiesTooLarge):
        bodies[1].grow("a", 1_000_000)
    bodies[1].grow("a", 60_000)
    with pytest.raises(BodiesTooLarge):
        bodies[2].grow("b", 1_500_000)
    bodies[0].release()
    bodies[2].grow("b", 1_500_000)
    bodies[3].grow("a", 1_500_000)


def doubling(levels: int) -> Json:
    """A schema that is expanded to 2 to the power of its levels."""
    tables: Json = {
        f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}, {"$ref": f"#/$defs/d{level + 1}"}]}
        for level in range(levels)
    }
    tables[f"d{levels}"] = {"type": "string"}
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": tables}


def test_a_schema_counts_as_large_as_it_is_expanded_also_in_circles() -> None:
    check_size([doubling(8)])
    node: Json = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    check_size([{"$ref": "#/$defs/node", "$defs": {"node": node}}])
    everybody = [{"$ref": f"#/definitions/d{each}"} for each in range(9)]
    mesh = {"anyOf": everybody, "definitions": {f"d{each}": {"anyOf": everybody} for each in range(9)}}
    inner = {"type": "object", "properties": {"a": {**doubling(18)}}}
    many = [{"type": "object", "properties": {f"p{each}": {"type": "string"} for each in range(200)}}] * 60
    repeated = {"anyOf": [{"$ref": "#/$defs/a"}] * 2_800, "$defs": {"a": {"description": "x " * 30_000}}}
    numbers = {"anyOf": [{"$ref": "#/$defs/a"}] * 2_800, "$defs": {"a": {"enum": [10**4_000] * 8}}}
    for schemas in ([doubling(18)], [mesh], [inner], many, [repeated], [numbers]):
        with pytest.raises(SchemasTooLarge):
            check_size(schemas)


@ON_SQLITE
async def test_a_schema_that_is_expanded_without_an_end_is_422_in_every_api(team: Team, provider: Provider) -> None:
    """2 KB of schema held the server for 16 s and took 775 MB."""
    schema = doubling(18)
    function = {"name": "f", "parameters": schema}
    tools = [{"type": "function", "function": function}]
    form: Json = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    said = [{"role": "user", "content": "Hi"}]
    job_id = await team.create_job()
    anthropic = {"model": "ok", "messages": said, "max_tokens": 5}
    bodies: list[tuple[str, int, Json]] = [
        (f"/api/jobs/{job_id}/llm-call", 422, call_body(tools=tools)),
        (f"/api/jobs/{job_id}/llm-call-stream", 422, call_body(response_format=form)),
        ("/api/v1/llm/respond", 422, {"model": "ok", "messages": said, "tools": tools}),
        ("/v1/chat/completions", 400, {"model": "ok", "messages": said, "response_format": form}),
        ("/v1/chat/completions", 400, {"model": "ok", "messages": said, "functions": [function]}),
        (
            "/v1/responses",
            400,
            {"model": "ok", "input": "Hi", "text": {"format": {**form["json_schema"], "type": "json_schema"}}},
        ),
        ("/v1/messages", 400, {**anthropic, "tools": [{"name": "f", "input_schema": schema}]}),
        ("/v1/messages/count_tokens", 400, {**anthropic, "tools": [{"name": "f", "input_schema": schema}]}),
    ]
    for path, status, body in bodies:
        answer = await team.http.post(path, json=body)
        assert (path, answer.status_code) == (path, status), answer.text
        assert answer.json()["error"]["code"] == "schema_too_large", path
    assert provider.requests == []


@ON_SQLITE
async def test_a_body_that_would_become_too_much_is_refused_before_it_is_parsed(team: Team, provider: Provider) -> None:
    """18 MB of `[]` held the server for 10 s and took 1.4 GB."""
    hi = {"role": "user", "content": "Hi"}
    for more, status in (
        ({"x": [[]] * 100_000}, 413),
        ({"x": "Hello, world. " * 150_000}, 413),
        ({"stop": "a" * 1_001}, 422),
        ({"messages": [hi] * 2_001}, 422),
        ({"x": "DEEP"}, 422),
    ):
        for path in ("/api/v1/llm/respond", "/v1/chat/completions"):
            body = json.dumps({"messages": [hi], **more}).replace('"DEEP"', "[" * 256 + "]" * 256)
            answer = await team.http.post(path, content=body)
            assert answer.status_code == (400 if status == 422 and path.startswith("/v1") else status), answer.text[
                :300
            ]
    assert provider.requests == []


@ON_SQLITE
async def test_a_large_body_is_read_as_a_small_one(team: Team) -> None:
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(900_000)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    good = {"model": "ok", "messages": [{"role": "user", "content": [part]}], "unknown": 1}
    answer = await team.http.post("/v1/chat/completions", json=good)
    assert (answer.status_code, answer.headers["x-ignored-fields"]) == (200, "unknown"), answer.text
    again = [await team.http.post("/v1/chat/completions", json=good, headers={"Idempotency-Key": "k"}) for _ in "ab"]
    assert again[0].content == again[1].content
    bad = await team.http.post("/v1/chat/completions", json={**good, "temperature": "hot"})
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "temperature")
    broken = await team.http.post("/v1/chat/completions", content=json.dumps(good)[:-1])
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")


@ON_SQLITE
async def test_counting_tokens_has_the_limits_of_calls(server: Server) -> None:
    async with new_team(server, rpm=2) as team:
        body = {"model": "ok", "messages": [{"role": "user", "content": "word " * 20_000}]}
        answers = [await team.http.post("/v1/messages/count_tokens", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 19_000 < answers[0].json()["input_tokens"] < 25_000


@ON_SQLITE
async def test_an_endpoint_that_a_provider_does_not_have_is_no_fault_of_ours(team: Team) -> None:
    answer = await team.http.post("/v1/rerank", json={"model": "ok", "query": "q", "documents": ["d"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "endpoint_unsupported"), answer.text


@ON_SQLITE
async def test_an_answer_too_large_to_keep_is_neither_made_nor_paid_twice(team: Team, provider: Provider) -> None:
    """A day's answers of 29 MB each filled the database."""
    body = {"model": "ok", "input": ["text"] * 1_000, "dimensions": 200}
    first, again = [await team.http.post("/v1/embeddings", json=body, headers={"Idempotency-Key": "k"}) for _ in "ab"]
    assert (first.status_code, len(first.content) > 1_000_000) == (200, True)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_answer_too_large")
    assert again.headers["x-should-retry"] == "false"
    assert provider.count("ok") == 1


@pytest_asyncio.fixture
async def narrow(database_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[Team]:
    """A team of a server that holds 300 KB of bodies."""
    config = write_config(tmp_path, config_for(provider))
    settings = settings_for(database_url, config, max_held_bytes_of_team=300_000)
    async with serving(settings) as running, new_team(running) as made:
        yield made


@ON_SQLITE
async def test_a_team_whose_bodies_are_too_many_is_told_while_they_come(narrow: Team) -> None:
    large = {**call_body(), "x": base64.b64encode(bytes(300_000)).decode()}
    job_id = await narrow.create_job()
    answer = await narrow.http.post(f"/api/jobs/{job_id}/llm-call", json=large)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_bytes"), answer.text
    assert answer.headers["retry-after"] == "1"
    assert (await narrow.call(job_id)).status_code == 200, "nothing of it is held"


@ON_SQLITE
async def test_a_client_that_announces_a_large_body_and_sends_nothing_takes_no_budget(narrow: Team) -> None:
    url = narrow.http.base_url
    job_id = await narrow.create_job()
    head = f"POST /api/jobs/{job_id}/llm-call HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {narrow.key}\r\n"
    silent = [await asyncio.open_connection(url.host, url.port) for _ in range(4)]
    for _, writer in silent:
        writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 250000\r\n\r\n".encode())
    for reader, _ in silent:
        assert b"100 Continue" in await reader.readline(), "its body is waited for"
    large = {**call_body(), "x": base64.b64encode(bytes(150_000)).decode()}
    assert (await narrow.http.post(f"/api/jobs/{job_id}/llm-call", json=large)).status_code == 200
    for _, writer in silent:
        writer.close()
