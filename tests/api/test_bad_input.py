"""Bad input gets the error of the wire, and nothing is written, held or charged for it.

Each test sends a whole list of it to one server and compares the team's ledger and jobs, and the provider's requests, before and after.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import COST_USD, Team, call_body, config_for, new_team, serving, settings_for, write_config

INVALID_JSON = (400, "invalid_json")
INVALID = (422, "invalid_request")
TOO_LARGE = (413, "too_large")
JSON_HEADERS = {"Content-Type": "application/json"}
HUGE = 10**30

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what has nothing to do with the database."""


class Case(NamedTuple):
    """A request and the status and code it must get. `body` is sent as it is when it is bytes, else as JSON."""

    method: str
    path: str
    body: Any
    status: int
    code: str


async def send(http: httpx.AsyncClient, case: Case) -> httpx.Response:
    content = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    return await http.request(case.method, case.path, content=content, headers=JSON_HEADERS)


def wrong_with(answer: httpx.Response, status: int, code: str) -> str | None:
    """What is wrong with an error answer, or None."""
    if answer.status_code != status:
        return f"{answer.status_code} instead of {status}: {answer.text[:300]}"
    body = answer.json()
    if body.keys() != {"detail", "error"} or not body["detail"] or not body["error"].get("message"):
        return f"not an error of the wire: {answer.text[:300]}"
    if body["error"]["code"] != code:
        return f"{body['error']['code']} instead of {code}"
    return None


async def refused(http: httpx.AsyncClient, cases: Sequence[Case]) -> None:
    """Every case gets its error; those that do not are all named."""
    problems = []
    for case in cases:
        answer = await send(http, case)
        wrong = wrong_with(answer, case.status, case.code)
        if wrong:
            problems.append(f"{case.method} {case.path[-30:]} {str(case.body)[:60]}…{str(case.body)[-60:]}: {wrong}")
    assert not problems, "\n".join(problems)


@asynccontextmanager
async def nothing_happens(team: Team, provider: Provider) -> AsyncIterator[None]:
    """The team's ledger and jobs and the provider's requests are at the end what they were."""
    before, asked = await Books.of(team), len(provider.requests)
    yield
    assert await Books.of(team) == before
    assert len(provider.requests) == asked


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


NOT_JSON = [
    b"{",
    b"nonsense",
    b'{"messages": [}',
    b"{'messages': []}",
    b'{"messages": [{"role": "user", "content": "a\nb"}]}',
    b"\xff\xfe",
    b'{"messages": [{"role": "user", "content": "\xff"}]}',
    b"\x00",
]
TOO_DEEP = [b"[" * 129, b'{"a":' * 90_000 + b"1" + b"}" * 90_000]
NOT_AN_OBJECT: list[Any] = [b"", b"null", [], [1], "text", 1, True, [{"role": "user", "content": "Hi"}]]

BAD_MESSAGES: list[Any] = [
    None,
    "Hello",
    {},
    [],
    [1],
    ["x"],
    [[]],
    [{}],
    [{"content": "x"}],
    [{"role": "bot", "content": "x"}],
    [{"role": "function", "content": "x"}],
    [{"role": "User", "content": "x"}],
    [{"role": None, "content": "x"}],
    [{"role": "user"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": 5}],
    [{"role": "user", "content": {}}],
    [{"role": "user", "content": []}],
    [{"role": "user", "content": ["x"]}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "nonsense", "text": "x"}]}],
    [{"role": "user", "content": [{"type": "image_url"}]}],
    [{"role": "user", "content": [{"text": "x"}]}],
    [{"role": "assistant", "content": None}],
    [{"role": "assistant", "content": None, "tool_calls": []}],
    [{"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "mcp"}]}],
    [{"role": "tool", "content": "x"}],
    [{"role": "tool", "content": "x", "tool_call_id": None}],
    [{"role": "tool", "content": "x", "tool_call_id": 5}],
    [{"role": "user", "content": "x"}, {"role": "user"}],
]

FUNCTION = {"type": "function", "function": {"name": "f"}}


def each(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


BAD_FIELDS: list[tuple[str, Any]] = [
    *each("temperature", -0.1, 2.1, "hot", [], {}, HUGE),
    *each("max_tokens", 0, -1, -HUGE, HUGE, 1.5, "many", [1]),
    *each("top_p", -0.1, 1.1, "x"),
    *each("frequency_penalty", 2.1, -2.1),
    *each("presence_penalty", 2.1, -2.1),
    *each("seed", "x", 1.5, HUGE, -HUGE),
    *each("stop", 5, {}, [1], ["x"] * 17, "a\x00", ["a\x00"]),
    *each("tools", "x", {}, [1], [{}], [{"type": "mcp", "server_url": "http://127.0.0.1"}]),
    ("tools", [{"type": "mcp", "function": {"name": "f"}}]),
    ("tools", [{"type": "web_search"}]),
    ("tools", [{"type": "function"}]),
    ("tools", [{"type": "function", "function": {"name": ""}}]),
    ("tools", [{"type": "function", "function": {"name": "f", "parameters": "x"}}]),
    ("tools", [FUNCTION] * 257),
    ("tool_choice", "sometimes"),
    ("tool_choice", {"type": "mcp", "function": {"name": "f"}}),
    ("tool_choice", []),
    ("response_format", "json"),
    ("response_format", {"type": "grammar"}),
    ("response_format", {}),
    ("model_group", 5),
    ("model_group", ["ok"]),
    ("model", {}),
    ("purpose", 5),
    ("purpose", "x" * 201),
    ("purpose", "a\x00b"),
    ("call_metadata", "x"),
    ("call_metadata", [1]),
    ("call_metadata", {"a": "x" * 10_240}),
    ("call_metadata", nested(200)),
]

UNSTORABLE = ["\ud800", "a\udfffb", "\udc00\ud800"]
"""Halves of characters: JSON can write them, UTF-8 cannot."""


def call_bodies() -> list[tuple[Any, int, str]]:
    """Bodies no call route may take."""
    good = call_body()
    text = json.dumps(good)[:-1]
    return [
        *((body, *INVALID_JSON) for body in NOT_JSON),
        *((body, *INVALID) for body in TOO_DEEP),
        *((body, *INVALID) for body in NOT_AN_OBJECT),
        *(({**good, "messages": messages}, *INVALID) for messages in BAD_MESSAGES),
        ({"model_group": "ok"}, *INVALID),
        *(({**good, name: value}, *INVALID) for name, value in BAD_FIELDS),
        *(
            (f'{text}, "{name}": {value}}}'.encode(), *INVALID_JSON)
            for name in ("temperature", "max_tokens", "seed")
            for value in ("NaN", "Infinity", "-Infinity")
        ),
        (f'{text}, "temperature": 1e400}}'.encode(), *INVALID_JSON),
        (f'{text}, "call_metadata": {{"a": NaN}}}}'.encode(), *INVALID_JSON),
        ({**good, "model_group": "ok\x00"}, *INVALID),
        ({**good, "model_group": "x" * 10_000}, *INVALID),
        *((call_body(text=half), *INVALID_JSON) for half in UNSTORABLE),
        *(({**good, name: "\ud800"}, *INVALID_JSON) for name in ("model_group", "purpose", "stop")),
        ({**good, "call_metadata": {"\ud800": 1}}, *INVALID_JSON),
        (
            {**good, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": "\ud800"}}}]},
            *INVALID_JSON,
        ),
        ({**good, "tools": [{"type": "function", "function": {"name": "f", "parameters": nested(200)}}]}, *INVALID),
        ({**good, "response_format": {"type": "json_schema", "json_schema": nested(200)}}, *INVALID),
        (call_body(text="x" * 2_000_000), *TOO_LARGE),
        (
            {**good, "messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 200_000}] * 10}]},
            *TOO_LARGE,
        ),
    ]


NO_GROUP: list[tuple[Any, int, str]] = [
    (call_body("nonsense"), 404, "model_group_not_found"),
    (call_body(None, model="nonsense"), 404, "model_group_not_found"),
    (call_body("Private"), 403, "model_group_not_allowed"),
    (call_body(None, model="Private"), 403, "model_group_not_allowed"),
    (call_body(None), 422, "model_group_missing"),
]
"""Calls that do not say, or may not use, what they run on."""

CALL_ROUTES = pytest.mark.parametrize("route", ["llm-call", "llm-call-stream"])
ONE_CALL_ROUTES = pytest.mark.parametrize("route", ["create-and-call", "create-and-call-stream"])


@CALL_ROUTES
async def test_a_bad_call_costs_nothing_and_leaves_no_trace(team: Team, provider: Provider, route: str) -> None:
    job_id = await team.create_job()
    await team.call(job_id)
    path = f"/api/jobs/{job_id}/{route}"
    async with nothing_happens(team, provider):
        await refused(team.http, [Case("POST", path, *case) for case in [*call_bodies(), *NO_GROUP]])


@ONE_CALL_ROUTES
async def test_a_bad_one_call_job_is_never_opened(team: Team, provider: Provider, route: str) -> None:
    path = f"/api/jobs/{route}"
    cases = [Case("POST", path, with_job_type(body), status, code) for body, status, code in call_bodies()]
    cases += [Case("POST", path, {**call_body(), **fields}, *INVALID) for fields in BAD_JOBS]
    cases.append(Case("POST", path, {**call_body(), "job_type": "t", "team_id": "other"}, 403, "team_not_owned"))
    cases.append(Case("POST", path, {**call_body(), "job_type": "t", "job_metadata": "x"}, *INVALID))
    async with nothing_happens(team, provider):
        await refused(team.http, cases)


@ONE_CALL_ROUTES
async def test_a_one_call_job_without_a_usable_group_is_never_opened(
    team: Team, provider: Provider, route: str
) -> None:
    path = f"/api/jobs/{route}"
    async with nothing_happens(team, provider):
        await refused(
            team.http, [Case("POST", path, with_job_type(body), status, code) for body, status, code in NO_GROUP]
        )


def with_job_type(body: Any) -> Any:
    return {**body, "job_type": "test"} if isinstance(body, dict) else body


BAD_JOBS: list[dict[str, Any]] = [
    {},
    {"job_type": None},
    {"job_type": ""},
    {"job_type": 5},
    {"job_type": "x" * 201},
    {"job_type": "a\x00b"},
    {"job_type": "t", "user_id": 5},
    {"job_type": "t", "user_id": "a\x00b"},
    {"job_type": "t", "user_id": "x" * 201},
    {"job_type": "t", "team_id": 5},
]
BAD_METADATA: list[Any] = ["x", [], 5, {"a": "x" * 10_240}, nested(101), nested(300), nested(900)]


async def test_a_bad_job_is_not_created(team: Team, other_team: Team, provider: Provider) -> None:
    path = "/api/jobs/create"
    bad: list[dict[str, Any]] = [
        *BAD_JOBS,
        *({"job_type": "t", "metadata": metadata} for metadata in BAD_METADATA),
        *({"job_type": "t", "ttl_seconds": ttl} for ttl in (0, -1, 31 * 86_400 + 1, HUGE, "soon", 1.5)),
        {"job_type": "t", "model_group": "ok\x00"},
        {"job_type": "t", "model_group": 5},
    ]
    unreadable: list[dict[str, Any]] = [
        {"job_type": "\ud800"},
        {"job_type": "t", "user_id": "\ud800"},
        {"job_type": "t", "metadata": {"a": "\ud800"}},
        {"job_type": "t", "metadata": {"\ud800": 1}},
        {"job_type": "t", "metadata": {"a": [float("nan")]}},
        {"job_type": "t", "metadata": {"a": float("inf")}},
    ]
    cases = [
        *(Case("POST", path, body, *INVALID_JSON) for body in NOT_JSON),
        *(Case("POST", path, body, *INVALID) for body in TOO_DEEP),
        *(Case("POST", path, body, *INVALID) for body in NOT_AN_OBJECT),
        *(Case("POST", path, body, *INVALID) for body in bad),
        *(Case("POST", path, body, *INVALID_JSON) for body in unreadable),
        Case("POST", path, {"job_type": "t", "team_id": other_team.id}, 403, "team_not_owned"),
        Case("POST", path, {"job_type": "t", "team_id": "nobody"}, 403, "team_not_owned"),
    ]
    async with nothing_happens(team, provider), nothing_happens(other_team, provider):
        await refused(team.http, cases)


async def test_a_bad_completion_or_patch_changes_nothing(team: Team, provider: Provider) -> None:
    job_id = await team.create_job(metadata={"kept": "x" * 5000})
    await team.call(job_id)
    complete, patch = f"/api/jobs/{job_id}/complete", f"/api/jobs/{job_id}/metadata"
    statuses: list[Any] = [None, "", "done", "pending", "in_progress", "expired", "COMPLETED ", 5, ["completed"], {}]
    cases = [
        *(Case("POST", complete, body, *INVALID_JSON) for body in NOT_JSON),
        *(Case("POST", complete, body, *INVALID) for body in TOO_DEEP),
        *(Case("POST", complete, body, *INVALID) for body in NOT_AN_OBJECT),
        Case("POST", complete, {}, *INVALID),
        *(Case("POST", complete, {"status": status}, *INVALID) for status in statuses),
        *(Case("POST", complete, {"status": "completed", "metadata": metadata}, *INVALID) for metadata in BAD_METADATA),
        Case("POST", complete, {"status": "completed", "metadata": {"more": "x" * 6000}}, 422, "unprocessable"),
        *(
            Case("POST", complete, {"status": "failed", "error_message": m}, *INVALID)
            for m in ("\x00", 5, "x" * 10_001)
        ),
        Case("POST", complete, {"status": "failed", "error_message": "\ud800"}, *INVALID_JSON),
        *(Case("PATCH", patch, body, *INVALID_JSON) for body in NOT_JSON),
        *(Case("PATCH", patch, body, *INVALID) for body in TOO_DEEP),
        *(Case("PATCH", patch, body, *INVALID) for body in [*NOT_AN_OBJECT, {}]),
        *(Case("PATCH", patch, {"metadata": metadata}, *INVALID) for metadata in [None, *BAD_METADATA]),
        Case("PATCH", patch, {"metadata": {"more": "x" * 6000}}, 422, "unprocessable"),
    ]
    async with nothing_happens(team, provider):
        await refused(team.http, cases)


async def test_metadata_with_a_nul_comes_back_as_it_was(team: Team) -> None:
    job_id = await team.create_job(metadata={"a\x00": "b\x00", "deep": nested(50), "great": 2**63})
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["metadata"] == {
        "a\x00": "b\x00",
        "deep": nested(50),
        "great": 2**63,
    }


def ids() -> list[str]:
    return ["nonsense", "0", "%00", "a%00b", "%F0%9F%98%80", "%FF", "x" * 2000, "{}", "%20", "-1", "0" * 32, "..."]


async def test_an_id_that_cannot_be_ours_is_not_found(team: Team, provider: Provider) -> None:
    cases = []
    for job_id in ids():
        path = f"/api/jobs/{job_id}"
        cases += [
            Case("GET", path, b"", 404, "job_not_found"),
            Case("GET", f"{path}/costs", b"", 404, "job_not_found"),
            Case("PATCH", f"{path}/metadata", {"metadata": {}}, 404, "job_not_found"),
            Case("POST", f"{path}/complete", {"status": "completed"}, 404, "job_not_found"),
            Case("POST", f"{path}/llm-call", call_body(), 404, "job_not_found"),
            Case("POST", f"{path}/llm-call-stream", call_body(), 404, "job_not_found"),
        ]
    async with nothing_happens(team, provider):
        await refused(team.http, cases)


async def test_a_bad_question_about_jobs_is_refused(team: Team, provider: Provider) -> None:
    jobs, usage = f"/api/teams/{team.id}/jobs", f"/api/teams/{team.id}/usage"
    invalid = [
        "limit=0", "limit=-1", "limit=1001", "limit=x", f"limit={HUGE}", "offset=-1", f"offset={HUGE}",
        "job_type=a%00", "user_id=a%00", "created_from=yesterday", "created_from=2026-01-01T00:00:00",
        "created_from=0001-01-01T00:00:00%2B14:00", "created_to=9999-12-31T23:59:59-14:00", "created_to=NaN",
    ]  # fmt: skip
    unprocessable = [
        "status=done", "status=", "status=%00", "status=pending%20", "cursor=x", "cursor=", "cursor=%00", "cursor=%FF",
        "cursor=MjAyNi0wMS0wMXx4", "cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMHwwMTllMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDA=",
    ]  # fmt: skip
    periods = ["2026", "2026-13", "2026-00", "x", "", "2026-1", "2026-01-01", "9999-12%00", "0001-01"]
    cases = [
        *(Case("GET", f"{jobs}?{query}", b"", *INVALID) for query in invalid),
        *(Case("GET", f"{jobs}?{query}", b"", 422, "unprocessable") for query in unprocessable),
        *(Case("GET", f"{usage}?period={period}", b"", 422, "unprocessable") for period in periods),
    ]
    async with nothing_happens(team, provider):
        await refused(team.http, cases)


async def test_a_team_that_does_not_exist_is_not_found(team: Team) -> None:
    paths = [f"/api/teams/{team_id}/{what}" for team_id in ("nobody", "a%00b", "%FF") for what in ("jobs", "usage")]
    await refused(team.admin, [Case("GET", path, b"", 404, "team_not_found") for path in paths])
    await refused(team.http, [Case("GET", path, b"", 403, "team_not_owned") for path in paths])


@ON_SQLITE
async def test_unknown_paths_and_methods_have_the_error_of_the_wire(team: Team) -> None:
    cases = [
        Case("GET", "/api/nothing", b"", 404, "not_found"),
        Case("POST", "/api/jobs", {}, 404, "not_found"),
        Case("DELETE", "/api/jobs/create", b"", 405, "method_not_allowed"),
        Case("PUT", "/api/jobs/create-and-call", {}, 405, "method_not_allowed"),
    ]
    await refused(team.http, cases)


@ON_SQLITE
async def test_the_last_of_two_equal_names_counts(team: Team) -> None:
    body = b'{"job_type": "first", "job_type": "last"}'
    answer = await team.http.post("/api/jobs/create", content=body, headers=JSON_HEADERS)
    job = (await team.http.get(f"/api/jobs/{answer.json()['job_id']}")).json()
    assert job["job_type"] == "last"


NOT_A_KEY: list[dict[str, Any]] = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic dGVhbTpzZWNyZXQ="},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": "Bearer sk-\xe9\xff".encode("latin-1")},
    {"Authorization": "Bearer 🔑".encode()},
    {"Authorization": "Bearer sk-a sk-b"},
    {"Authorization": 'Bearer "sk-\'; DROP TABLE teams; --"'},
    {"Authorization": "Bearer sk-a%0d%0aX-Admin: 1"},
    {"Authorization": "Bearer " + "x" * 10_000},
    {"x-api-key": ""},
    {"x-api-key": "nonsense"},
    {"x-api-key": b"\xff"},
]


@ON_SQLITE
async def test_a_key_that_is_none_opens_nothing(api: httpx.AsyncClient) -> None:
    for headers in NOT_A_KEY:
        for method, path in (("POST", "/api/jobs/create"), ("GET", f"/api/jobs/{'0' * 32}"), ("GET", "/api/teams")):
            answer = await api.request(method, path, json={"job_type": "t"}, headers=headers)
            assert wrong_with(answer, 401, "invalid_key") is None, headers
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@ON_SQLITE
async def test_either_header_carries_the_key(team: Team, api: httpx.AsyncClient) -> None:
    path = f"/api/teams/{team.id}/jobs"
    for headers in ({"x-api-key": team.key}, {"Authorization": f"bearer  {team.key}"}, {"X-API-KEY": team.key}):
        assert (await api.get(path, headers=headers)).status_code == 200
    both = {"Authorization": "Bearer nonsense", "x-api-key": team.key}
    assert (await api.get(path, headers=both)).status_code == 401, "the first key given is the one that counts"


@pytest_asyncio.fixture
async def strict_team(database_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[Team]:
    """A team of a server that takes bodies of 2000 bytes and prompts of 500 characters."""
    config = write_config(tmp_path, config_for(provider))
    settings = settings_for(database_url, config, max_body_bytes=2000, max_prompt_chars=500)
    async with serving(settings) as running, new_team(running) as made:
        yield made


async def test_a_body_over_the_limit_is_refused_whether_it_says_so_or_not(
    strict_team: Team, provider: Provider
) -> None:
    team = strict_team
    job_id = await team.create_job()
    paths = ["/api/jobs/create", f"/api/jobs/{job_id}/llm-call", f"/api/jobs/{job_id}/llm-call-stream"]
    too_long = json.dumps({"job_type": "t", "metadata": {"a": "x" * 2000}, **call_body()}).encode()

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(too_long), 500):
            yield too_long[start : start + 500]

    async with nothing_happens(team, provider):
        for path in paths:
            announced = await team.http.post(path, content=too_long, headers=JSON_HEADERS)
            assert wrong_with(announced, *TOO_LARGE) is None
            chunked = await team.http.post(path, content=in_pieces(), headers=JSON_HEADERS)
            assert wrong_with(chunked, *TOO_LARGE) is None


@ON_SQLITE
async def test_the_longest_prompt_is_taken_and_one_more_character_is_not(strict_team: Team, provider: Provider) -> None:
    team = strict_team
    job_id = await team.create_job()
    function = {"name": "f", "arguments": "x" * 101}
    tool_call = {"id": "1", "type": "function", "function": function}
    too_long: list[list[Any]] = [
        [{"role": "user", "content": "x" * 501}],
        [{"role": "user", "content": "x" * 250}, {"role": "user", "content": "x" * 251}],
        [{"role": "user", "content": [{"type": "text", "text": "x" * 250}, {"type": "text", "text": "x" * 251}]}],
        [{"role": "user", "content": "x" * 400}, {"role": "assistant", "content": None, "tool_calls": [tool_call]}],
    ]
    path = f"/api/jobs/{job_id}/llm-call"
    async with nothing_happens(team, provider):
        await refused(
            team.http, [Case("POST", path, {"model_group": "ok", "messages": m}, *TOO_LARGE) for m in too_long]
        )
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 600}}
    part = {"type": "text", "text": "x" * 500}
    answer = await team.http.post(
        path, json={"model_group": "ok", "messages": [{"role": "user", "content": [part, image]}]}
    )
    assert answer.status_code == 200


@ON_SQLITE
async def test_tens_of_thousands_of_mistakes_make_a_short_answer(team: Team, provider: Provider) -> None:
    """Wrong messages made 2 GB of error objects and kept every other customer waiting for seconds."""
    job_id = await team.create_job()
    bad: list[Any] = [{"messages": [1] * 90_000}, {"messages": [{"role": "user", "content": 5}] * 30_000}]
    bad += [{"messages": [{"role": "user", "content": [1] * 90_000}]}, {**call_body(), "tools": [1] * 90_000}]
    bad += [{**call_body(), "stop": [1] * 90_000}]
    bad += [{"messages": [{"role": "assistant", "content": None, "tool_calls": [1] * 90_000}]}]
    async with nothing_happens(team, provider):
        for body in bad:
            answer = await team.http.post(f"/api/jobs/{job_id}/llm-call", json=body)
            assert wrong_with(answer, *INVALID) is None
            assert len(answer.content) < 2000


DANGEROUS: dict[str, Any] = {
    "api_base": "http://127.0.0.1:9/v1",
    "base_url": "http://127.0.0.1:9/v1",
    "api_key": "sk-of-the-caller",
    "api_version": "1",
    "api_type": "azure",
    "azure_ad_token": "x",
    "organization": "x",
    "mock_response": "free",
    "mock_timeout": True,
    "input_cost_per_token": 0,
    "output_cost_per_token": 0,
    "custom_llm_provider": "anthropic",
    "model_info": {"id": "x"},
    "extra_body": {"injected": 1},
    "extra_headers": {"X-Injected": "1"},
    "headers": {"X-Injected": "1"},
    "extra_query": {"injected": "1"},
    "fallbacks": ["Private"],
    "context_window_fallbacks": [{"ok": ["Private"]}],
    "num_retries": 50,
    "max_retries": 50,
    "timeout": 0.001,
    "stream_timeout": 0.001,
    "metadata": {"user_api_key": "x"},
    "litellm_metadata": {"x": 1},
    "litellm_call_id": "x",
    "litellm_params": {"api_base": "http://127.0.0.1:9"},
    "litellm_logging_obj": {},
    "user": "somebody",
    "cache": {"no-store": True},
    "caching": True,
    "stream": True,
    "n": 100,
    "logit_bias": {"1": 100},
    "functions": [{"name": "f"}],
    "allowed_openai_params": ["injected"],
    "drop_params": False,
    "additional_drop_params": ["messages"],
    "proxy_server_request": {},
    "specific_deployment": "ok-1",
    "base_model": "gpt-4",
    "guardrails": ["x"],
    "tags": ["x"],
    "_skip_mcp_handler": False,
    "max_completion_tokens": 5,
    "injected": "injected",
}
KNOWN = {"model", "messages", "temperature", "tools", "tool_choice", "response_format"}
"""All that the provider may get of the request below."""


def with_dangers_inside(dangers: dict[str, Any]) -> dict[str, Any]:
    inner = {name: value for name, value in dangers.items() if name not in ("name", "type")}
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, **inner}
    called = {"name": "f", "arguments": "{}", **inner}
    return {
        "model_group": "ok",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello", **inner}], **inner},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": called, **inner}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "x", **inner},
        ],
        "tools": [{"type": "function", "function": function, **inner}],
        "tool_choice": {"type": "function", "function": {"name": "f", **inner}, **inner},
        "response_format": {"type": "json_object", **inner},
    }


@ON_SQLITE
async def test_no_parameter_of_litellm_comes_from_a_client(team: Team, provider: Provider) -> None:
    """One that did would send our provider key to the caller, make calls free or cool deployments down for all."""
    job_id = await team.create_job()
    for route in ("llm-call", "llm-call-stream"):
        for name, value in DANGEROUS.items():
            for body in ({**call_body(), name: value}, with_dangers_inside({name: value})):
                answer = await team.http.post(f"/api/jobs/{job_id}/{route}", json=body)
                assert answer.status_code == 200, f"{name}: {answer.text}"
                assert answer.headers["X-Ignored-Fields"] == name
    assert len(provider.requests) == 4 * len(DANGEROUS), "a request was repeated or never made"
    for request in provider.requests:
        assert request.behaviour == "ok"
        assert request.headers["authorization"] == "Bearer sk-provider-secret"
        assert not [name for name in request.headers if "inject" in name]
        assert request.body.keys() <= KNOWN | {"stream", "stream_options"}
        assert request.body.get("stream", False) is ("stream_options" in request.body)
        assert words_in(request.body).isdisjoint(DANGEROUS.keys() - {"stream"})
    costs = await team.costs(job_id)
    assert {call["cost_usd"] for call in costs["breakdown"]} == {COST_USD}


def words_in(value: Any) -> set[str]:
    """Every name of a field in a JSON value, however deep."""
    if isinstance(value, list):
        return {word for item in value for word in words_in(item)}
    if isinstance(value, dict):
        return value.keys() | {word for item in value.values() for word in words_in(item)}
    return set()


@ON_SQLITE
async def test_the_names_of_ignored_fields_cannot_break_the_header(team: Team) -> None:
    odd = {"a\rX-Injected: 1": 1, "b\r\nX-Injected: 1": 1, "c\x00": 1, "é🔑": 1, "x" * 10_000: 1, "": 1, "d\x7f\t": 1}
    answer = await team.http.post("/api/jobs/create", json={"job_type": "t", **odd})
    assert answer.status_code == 200
    assert "X-Injected" not in answer.headers
    said = answer.headers["X-Ignored-Fields"]
    assert said.isascii()
    assert said.isprintable()
    many = {f"field_{number}": 1 for number in range(1000)}
    answer = await team.http.post("/api/jobs/create", json={"job_type": "t", **many})
    assert answer.status_code == 200, "a header that is too long makes clients drop the whole answer"
