"""The respond API's answers, events and errors, field by field, beside what document S4 prints."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.respond.server import GPT_4O, LLAMA, RESPOND, App, StartApp, config_of_s4, documented, hello
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import RETRY_AFTER_S
from tests.support.seed_runner import TEXT
from tests.support.server import COST_USD, MASTER_KEY, new_team

JSON = {"Content-Type": "application/json"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 10, "total_tokens": 21}

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_the_documents_request_gets_the_documents_answer(app: App) -> None:
    answer = await app.respond(documented("respond/request.json"))
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == documented("respond/response.json").keys()
    assert body == {
        "provider": "openrouter",
        "model": LLAMA,
        "finish_reason": "stop",
        "usage": USAGE,
        "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
        "tool_calls": [],
    }
    assert app.asked()["messages"] == [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
    ]
    (await Books.of(app.team)).check()


async def test_a_stream_says_its_text_and_then_the_whole_answer(app: App) -> None:
    *tokens, (last, done) = await app.stream(hello())
    assert {name for name, _ in tokens} == {"token"}
    assert "".join(token["text"] for _, token in tokens) == TEXT
    assert last == "done"
    assert done == (await app.respond(hello())).json()
    (await Books.of(app.team)).check()


@ONE_DATABASE
async def test_tool_calls_have_objects_for_arguments_and_a_text_beside_them(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "tool-then-text", GPT_4O: "tools-two"})
    first = (await app.respond({**hello(), **documented("respond/tool_definition.json")})).json()
    expected = documented("respond/tool_call_response.json")
    assert first["finish_reason"] == expected["finish_reason"]
    assert first["tool_calls"] == [
        {"id": "call_123", "name": "get_weather", "arguments": {"location": "San Francisco, CA"}}
    ]
    assert first["message"]["content"] == [{"type": "text", "text": ""}]
    assert app.asked("tool-then-text")["tools"] == documented("respond/tool_definition.json")["tools"]

    # pieces of several calls in turns: each arrives whole, numbers of any size as they are
    two = [
        {"id": "call_paris", "name": "get_weather", "arguments": {"location": "Paris", "days": 12345678901234567890}},
        {"id": "call_rome", "name": "get_weather", "arguments": {"location": "Rome"}},
    ]
    events = await app.stream(hello(model=GPT_4O))
    assert [name for name, _ in events] == ["token", "token", "tool_call", "tool_call", "done"]
    assert [body for name, body in events if name == "tool_call"] == two
    done = events[-1][1]
    assert done["tool_calls"] == two
    assert done["message"]["content"][0]["text"] == "Let me look."
    assert done == (await app.respond(hello(model=GPT_4O))).json()


@ONE_DATABASE
@pytest.mark.parametrize("is_stream", [False, True])
async def test_arguments_that_are_no_object_are_passed_on_as_they_are(start_app: StartApp, is_stream: bool) -> None:
    app = await start_app({LLAMA: "tools-odd"})
    answer = (await app.stream())[-1][1] if is_stream else (await app.respond()).json()
    arguments = {call["id"]: call["arguments"] for call in answer["tool_calls"]}
    assert arguments == {
        "call_cut": '{"location": "Par',
        "call_list": "[1, 2]",
        "call_half": '{"location": "\\ud800"}',
        "call_deep": '{"a":' * 150 + "1" + "}" * 150,
        "call_none": {},
    }
    assert [warning.split("'")[1] for warning in answer["warnings"]] == [
        "call_cut",
        "call_list",
        "call_half",
        "call_deep",
    ]


async def test_each_request_is_a_job_of_its_own(app: App) -> None:
    headers = {"X-Job-Type": "chat-widget", "X-User-Id": "Zoë".encode()}
    answer = await app.respond(headers=headers)
    job = (await app.team.http.get(f"/api/jobs/{answer.headers['x-job-id']}")).json()
    assert (job["status"], job["job_type"], job["user_id"]) == ("completed", "chat-widget", "Zoë")
    assert job["credits_charged"] == 1
    assert (answer.headers["x-credits-charged"], answer.headers["x-credits-remaining"]) == ("1", "99")
    assert float(answer.headers["x-call-cost-usd"]) == COST_USD
    stream = await app.respond(hello(), stream=True)
    job = (await app.team.http.get(f"/api/jobs/{stream.headers['x-job-id']}")).json()
    assert (job["status"], job["job_type"], job["user_id"]) == ("completed", "respond", None)
    (await Books.of(app.team)).check()


async def test_a_loop_of_tools_is_billed_as_the_one_job_it_names(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "tool-then-text"})
    job_id = await app.team.create_job()
    first = await app.respond(hello(), headers={"X-Job-Id": job_id})
    assert first.headers["x-job-id"] == job_id
    last = await app.stream(hello(), headers={"X-Job-Id": job_id, "X-Job-Complete": "true", "X-Job-Type": "late"})
    assert last[-1][0] == "done"
    job = (await app.team.http.get(f"/api/jobs/{job_id}")).json()
    assert (job["status"], job["credits_charged"], job["job_type"]) == ("completed", 1, "test")
    costs = await app.team.costs(job_id)
    assert costs["total_cost_usd"] == pytest.approx(2 * COST_USD)
    refused = await app.respond(headers={"X-Job-Id": job_id, "X-Job-Type": "late"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "conflict")
    assert refused.headers["x-ignored-fields"] == "X-Job-Type"


@ONE_DATABASE
@pytest.mark.parametrize("is_stream", [False, True])
async def test_results_sent_alone_find_their_calls_again(start_app: StartApp, is_stream: bool) -> None:
    # the document's "Tool Execution Loop" pushes results only
    app = await start_app({LLAMA: "tool-then-text"})
    await app.respond(stream=is_stream)
    messages = [*hello()["messages"], {"role": "tool", "content": "72°F and sunny", "tool_call_id": "call_123"}]
    answer = (await app.respond(messages=messages)).json()
    assert answer["message"]["content"][0]["text"] == TEXT
    assert "was put back from what was answered before" in answer["warnings"][0]
    [call] = app.asked("tool-then-text")["messages"][1]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"location": "San Francisco, CA"}'}
    await app.respond(messages=messages, headers={"X-User-Id": "another"})
    [call] = app.asked("tool-then-text")["messages"][1]["tool_calls"]
    assert call["function"]["arguments"] == "{}", "another user's are nobody's business"
    async with new_team(app.server, default_model_group="Respond") as other:
        await other.http.post(RESPOND, json=hello(messages=messages))
    [call] = app.asked("tool-then-text")["messages"][1]["tool_calls"]
    assert call["function"]["arguments"] == "{}", "another team's are nobody's business"


@ONE_DATABASE
async def test_names_that_hold_a_slash_are_names_like_any_other(start_app: StartApp, provider: Provider) -> None:
    config = config_of_s4(provider)
    config["model_groups"] = {"vendor/any": {"models": [GPT_4O, LLAMA], "teams": ["*"]}}
    app = await start_app(config=config, group="vendor/any")
    for name, model in (("vendor/any", GPT_4O), (LLAMA, LLAMA)):
        answer = await app.respond(hello(model=name))
        assert (answer.status_code, answer.json()["model"]) == (200, model)
    group = (await app.team.http.get("/api/model-groups/vendor/any")).json()
    assert group["group_name"] == "vendor/any"


# Errors: always the document's shape.


def error_of(answer: Any) -> Any:
    body = answer.json()
    assert body.keys() == {"error"}
    reported = {"provider_code", "provider_type", "provider_param"}
    assert body["error"].keys() - reported == {*documented("respond/error.json")["error"], "code"}
    return body["error"]


FAILURES = {
    "e400": (400, "invalid_request", 400, None),
    "context": (400, "invalid_request", 400, None),
    "e401": (500, "provider_error", 401, None),
    "e429": (429, "rate_limit", 429, RETRY_AFTER_S * 1000),
    "e500": (500, "provider_error", 500, None),
    "e503": (503, "provider_error", 503, 5000),
    "break0": (500, "provider_error", None, None),
}
"""Status, type, provider_status and retry_after_ms by what the provider does."""


@ONE_DATABASE
async def test_a_providers_failure(start_app: StartApp) -> None:
    app = await start_app({f"openai/{behaviour}": behaviour for behaviour in FAILURES})
    for behaviour, expected in FAILURES.items():
        for is_stream in (False, True):
            answer = await app.respond(model=f"openai/{behaviour}", stream=is_stream)
            error = error_of(answer)
            said = (answer.status_code, error["type"], error["provider_status"], error["retry_after_ms"])
            assert said == expected, behaviour
    assert (await app.team.credits())["credits_available"] == 100


@ONE_DATABASE
async def test_a_model_that_takes_too_long(start_app: StartApp, provider: Provider) -> None:
    config = config_of_s4(provider, {LLAMA: "timeout"}, router_settings={"num_retries": 0, "timeout": 0.5})
    app = await start_app(config=config)
    answer = await app.respond()
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["provider_status"]) == (503, "timeout", None)
    assert error["retry_after_ms"] > 0


async def test_a_stream_that_breaks_off_ends_with_an_error_event(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "break4"})
    *tokens, (last, body) = await app.stream()
    assert [name for name, _ in tokens] == ["token"] * 4
    assert last == "error"
    reported = {"provider_code", "provider_type", "provider_param"}
    assert body["error"].keys() - reported == {*documented("respond/error.json")["error"], "code"}
    assert body["error"]["type"] == "provider_error"
    (await Books.of(app.team)).check()


async def test_what_we_refuse_ourselves(app: App) -> None:
    async def refused(status: int, kind: str, code: str, answer: Any) -> str:
        error = error_of(answer)
        assert (answer.status_code, error["type"], error["code"]) == (status, kind, code)
        assert error["provider_status"] is None
        message: str = error["message"]
        return message

    http = app.team.http
    await refused(400, "invalid_request", "invalid_json", await http.post(RESPOND, content=b"{", headers=JSON))
    said = await refused(422, "invalid_request", "invalid_request", await app.respond({"messages": []}))
    assert "messages" in said
    said = await refused(
        422, "invalid_request", "invalid_request", await app.respond(messages=[{"role": "user", "content": [{}]}])
    )
    assert "messages.0" in said
    await refused(422, "invalid_request", "invalid_request", await app.respond(headers={"X-Job-Type": "x" * 201}))
    await refused(405, "invalid_request", "method_not_allowed", await http.get(RESPOND))
    await refused(404, "not_found", "not_found", await http.get("/api/v1/llm/nothing"))
    await refused(404, "not_found", "model_group_not_found", await app.respond(model="nobody/knows"))
    for job_id in ("job_abc", str(uuid4())):
        await refused(404, "not_found", "job_not_found", await app.respond(headers={"X-Job-Id": job_id}))
    async with new_team(app.server, credits_allocated=0) as poor, new_team(app.server) as other:
        await refused(403, "insufficient_credits", "insufficient_credits", await poor.http.post(RESPOND, json=hello()))
        headers = {"X-Job-Id": await other.create_job()}
        await refused(403, "permission", "job_not_owned", await app.respond(headers=headers))
    async with app.server.client("sk-wrong") as stranger:
        await refused(401, "auth", "invalid_key", await stranger.post(RESPOND, json=hello()))
    async with app.server.client(MASTER_KEY) as admin:
        await refused(403, "permission", "forbidden", await admin.post(RESPOND, json=hello()))
    assert (await app.team.credits())["credits_available"] == 100


@ONE_DATABASE
@pytest.mark.parametrize("limit", [{"rpm": 1}, {"tpm": 20}])
async def test_a_limit_of_the_teams_says_when_to_come_back(start_app: StartApp, limit: dict[str, int]) -> None:
    app = await start_app(team=limit)
    assert (await app.respond(max_tokens=9)).status_code == 200
    for is_stream in (False, True):
        answer = await app.respond(max_tokens=9, stream=is_stream)
        error = error_of(answer)
        assert (answer.status_code, error["type"], error["code"]) == (429, "rate_limit", "rate_limited")
        assert error["provider_status"] is None
        assert 0 < error["retry_after_ms"] <= int(answer.headers["retry-after"]) * 1000 <= 61_000
    assert len(app.provider.requests) == 1
    assert (await app.team.credits())["credits_available"] == 99


@ONE_DATABASE
async def test_a_key_may_stand_in_the_documents_header(app: App) -> None:
    async with app.server.client() as client:
        answer = await client.post(RESPOND, json=hello(), headers={"x-api-key": app.team.key})
    assert answer.status_code == 200


@ONE_DATABASE
async def test_what_is_too_large(start_app: StartApp) -> None:
    app = await start_app(max_prompt_chars=100, max_body_bytes=10_000)
    for text in ("x" * 101, "x" * 10_001):
        error = error_of(answer := await app.respond(messages=[{"role": "user", "content": text}]))
        assert (answer.status_code, error["type"], error["code"]) == (413, "invalid_request", "too_large")


async def test_a_request_repeated_with_its_key_is_one_job(app: App) -> None:
    for is_stream in (False, True):
        headers = {"Idempotency-Key": f"once-{is_stream}"}
        first, second = [await app.respond(stream=is_stream, headers=headers) for _ in range(2)]
        assert first.content == second.content
        assert second.headers["idempotency-replayed"] == "true"
    assert (await app.team.credits())["credits_used"] == 2


@ONE_DATABASE
async def test_unknown_fields_are_reported(app: App) -> None:
    answer = await app.respond(top_k=3)
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "top_k"
    assert "top_k" not in json.dumps(app.asked())
