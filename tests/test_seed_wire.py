"""Our answers beside the ones the seed documents print: field by field, header by header, status by status.

V1 to V12 are the compatibility vectors drawn from the two documents.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.support.provider import Provider
from tests.support.provider_plans import RETRY_AFTER_S, USAGE, WORDS
from tests.support.seed_runner import CALL_COST_USD, MESSAGES, TEXT, Acme, StartAcme, starting, text_of
from tests.support.server import MASTER_KEY, used

CALL = {"model_group": "ChatAgent", "messages": MESSAGES}


@pytest_asyncio.fixture
async def start_acme(database_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[StartAcme]:
    async with starting(database_url, provider, tmp_path) as start:
        yield start


@pytest_asyncio.fixture
async def acme(start_acme: StartAcme) -> Acme:
    """acme-corp with every model answering."""
    return await start_acme()


def documented(example: str) -> Any:
    return json.loads(text_of(example))


def assert_like(ours: Any, theirs: Any, place: str = "body") -> None:
    """Every field that the document prints is in our answer, with a value of its JSON type."""
    assert type(ours) is type(theirs), f"{place}: {ours!r} instead of {theirs!r}"
    if isinstance(theirs, dict):
        assert theirs.keys() <= ours.keys(), place
        for name, value in theirs.items():
            assert_like(ours[name], value, f"{place}.{name}")
    if isinstance(theirs, list):
        assert len(ours) == len(theirs), place
        for index, value in enumerate(theirs):
            assert_like(ours[index], value, f"{place}[{index}]")


def events(text: str) -> list[Any]:
    """The JSON of each event; `[DONE]` stays as it is."""
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    payloads = [line.removeprefix("data: ") for line in lines]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


async def post(acme: Acme, job_id: str, body: Any, route: str = "llm-call") -> httpx.Response:
    return await acme.team.http.post(f"/api/jobs/{job_id}/{route}", json=body)


# Requests and answers.


async def test_creating_a_job(acme: Acme) -> None:
    # V1: team_id may be left out
    for body in ({"team_id": "acme-corp", "job_type": "document_analysis"}, {"job_type": "document_analysis"}):
        answer = await acme.team.http.post("/api/jobs/create", json=body)
        assert answer.status_code == 200
        job = answer.json()
        assert job == {
            "job_id": job["job_id"],
            "status": "pending",
            "created_at": job["created_at"],
            "team_id": "acme-corp",
        }
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", job["created_at"])


async def test_a_call_with_a_model_group(acme: Acme) -> None:
    # V2
    request = documented("llm_calls/llm_call_request.json")
    answer = await post(acme, await acme.team.create_job(), request)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert_like(body, documented("llm_calls/llm_call_response.json"))
    assert body == {
        "call_id": body["call_id"],
        "response": {"content": TEXT, "role": "assistant", "finish_reason": "stop"},
        "metadata": {
            "tokens_used": 21,
            "prompt_tokens": 11,
            "completion_tokens": 10,
            "usage": {**used(11, 10), "service_tier": None},
            "latency_ms": body["metadata"]["latency_ms"],
            "model_group": "ResumeAgent",
            "model": "gpt-4-turbo",
            "cached": False,
            "cost_usd": pytest.approx(CALL_COST_USD, abs=1e-12),
        },
    }
    asked = acme.seen()[0].body
    assert {name: asked[name] for name in ("messages", "temperature", "max_tokens")} == {
        name: request[name] for name in ("messages", "temperature", "max_tokens")
    }
    costs = await acme.team.costs((await acme.team.http.get("/api/teams/acme-corp/jobs")).json()["jobs"][0]["job_id"])
    assert costs["breakdown"][0]["purpose"] == "resume_parsing"


async def test_a_call_without_temperature_has_the_documents_default(acme: Acme) -> None:
    await post(acme, await acme.team.create_job(), CALL)
    assert acme.seen()[0].body["temperature"] == 0.7


@pytest.mark.parametrize("stop", ["END", ["\n6.", "END"]])
async def test_a_call_without_a_model_group(acme: Acme, stop: str | list[str]) -> None:
    # V3: every parameter of S1, stop as text and as a list
    more = {"top_p": 0.9, "frequency_penalty": -0.5, "presence_penalty": 2.0, "stop": stop}
    request = documented("non_streaming_calls/call_request.json") | more
    answer = await post(acme, await acme.team.create_job(), request)
    assert answer.status_code == 200
    assert_like(answer.json(), documented("non_streaming_calls/call_response.json"))
    assert answer.json()["response"]["role"] == "assistant"
    assert answer.json()["metadata"]["model_group"] == "ChatAgent"
    asked = acme.seen()[0].body
    assert {name: asked[name] for name in request} == request


@pytest.mark.parametrize(
    ("name", "group", "model"),
    [("AnalysisAgent", "AnalysisAgent", "gpt-4-turbo"), ("claude-3-sonnet", "ResumeAgent", "claude-3-sonnet")],
    ids=["a-group", "a-model"],
)
async def test_a_call_that_says_model(acme: Acme, name: str, group: str, model: str) -> None:
    # V4
    answer = await post(acme, await acme.team.create_job(), {"model": name, "messages": MESSAGES})
    metadata = answer.json()["metadata"]
    assert (metadata["model_group"], metadata["model"]) == (group, model)


async def test_every_message_of_the_document_is_taken(acme: Acme) -> None:
    messages = [
        documented("llm_calls/system_message.json"),
        documented("llm_calls/user_message.json"),
        documented("llm_calls/assistant_message.json"),
    ]
    answer = await post(acme, await acme.team.create_job(), {**CALL, "messages": messages})
    assert answer.status_code == 200
    assert acme.seen()[0].body["messages"] == messages


# Streams.


async def test_a_stream_is_what_the_document_prints(acme: Acme) -> None:
    # V5
    request = documented("llm_calls/stream_request.json")
    answer = await post(acme, await acme.team.create_job(), request, "llm-call-stream")
    assert answer.status_code == 200
    assert re.fullmatch(r"text/event-stream(; charset=utf-8)?", answer.headers["content-type"])
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["connection"] == "keep-alive"
    *pieces, last, done = events(answer.text)
    assert done == "[DONE]"
    for piece in pieces:
        assert_like(
            {**piece, "choices": [{**piece["choices"][0], "delta": {}}]},
            {**(chunk := documented("llm_calls/stream_chunk.json")), "choices": [{**chunk["choices"][0], "delta": {}}]},
        )
    assert_like(pieces[0], documented("llm_calls/stream_chunk.json"))
    assert_like(last, documented("llm_calls/stream_final_chunk.json"))
    head = {name: pieces[0][name] for name in ("id", "object", "created", "model")}
    assert head["object"] == "chat.completion.chunk"
    assert head["model"] == "gpt-3.5-turbo"
    deltas: list[dict[str, str]] = [{"content": word} for word in WORDS]
    deltas[0] = {"role": "assistant", **deltas[0]}
    assert pieces == [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    assert last == {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
    asked = acme.seen()[0].body
    assert (asked["temperature"], asked["max_tokens"]) == (0.8, 500)


async def test_the_events_have_the_documents_bytes(acme: Acme) -> None:
    answer = await post(acme, await acme.team.create_job(), CALL, "llm-call-stream")
    first = events(answer.text)[0]
    theirs = text_of("llm_calls/stream_response.txt")
    for old, new in (
        ('"chatcmpl-123"', json.dumps(first["id"])),
        ("1697896000", str(first["created"])),
        ('"gpt-4"', '"gpt-3.5-turbo"'),
        ('"Once"', '"one"'),
        ('" upon"', '" two"'),
        ('" a"', '" three"'),
        ('" time"', '" four"'),
    ):
        theirs = theirs.replace(old, new)
    assert answer.text.startswith(theirs.removesuffix("data: [DONE]\n"))
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("behaviour", ["ok", "long200", "break4"])
async def test_an_event_is_never_split(start_acme: StartAcme, behaviour: str) -> None:
    # V5: a parser that takes what one read gives for whole events; these are the pieces as they leave the server
    acme = await start_acme({"gpt-3.5-turbo": behaviour})
    job_id = await acme.team.create_job()
    pieces = [piece async for piece in written_pieces(acme, f"/api/jobs/{job_id}/llm-call-stream")]
    assert pieces[-1].endswith("data: [DONE]\n\n")
    for piece in pieces:
        assert events(piece)


async def written_pieces(acme: Acme, path: str) -> AsyncIterator[str]:
    """Each chunk of the chunked transfer encoding: one write of the server."""
    address = httpx.URL(acme.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    body = json.dumps(CALL)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address.host}\r\nAuthorization: Bearer {acme.team.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        writer.write((head + body).encode())
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield (await reader.readexactly(size)).decode()
            await reader.readexactly(2)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_model_that_stalls_in_a_stream_is_a_timeout(acme: Acme) -> None:
    # V6: three words came, then nothing
    job_id = await acme.team.create_job(model_group="hold")
    answer = await post(acme, job_id, {"messages": MESSAGES}, "llm-call-stream")
    assert answer.status_code == 200
    *pieces, error, done = events(answer.text)
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == "one two three"
    assert error == documented("llm_calls/stream_error.json")
    assert done == "[DONE]"
    assert (await acme.team.complete(job_id)).json()["costs"]["credit_applied"] is False


# Completion.


async def test_completing_twice_gives_one_bill(acme: Acme) -> None:
    # V7
    job_id = await acme.team.create_job()
    await post(acme, job_id, CALL)
    await post(acme, job_id, {**CALL, "purpose": "chat"})
    first = await acme.team.complete(job_id)
    body = first.json()
    costs = body["costs"]
    assert body == {
        "job_id": job_id,
        "status": "completed",
        "completed_at": body["completed_at"],
        "costs": {
            "total_calls": 2,
            "successful_calls": 2,
            "failed_calls": 0,
            "total_tokens": 42,
            "usage": used(22, 20),
            "total_cost_usd": pytest.approx(2 * CALL_COST_USD, abs=1e-12),
            "avg_latency_ms": costs["avg_latency_ms"],
            "credit_applied": True,
            "credits_charged": 1,
            "credits_remaining": 99,
        },
        "calls": [
            {
                "call_id": call["call_id"],
                "purpose": purpose,
                "model_group": "ChatAgent",
                "tokens": 21,
                "latency_ms": call["latency_ms"],
                "error": None,
            }
            for call, purpose in zip(body["calls"], (None, "chat"), strict=True)
        ],
    }
    assert isinstance(costs["total_cost_usd"], float)
    assert (await acme.team.complete(job_id)).text == first.text
    assert (await acme.team.credits())["credits_remaining"] == 99


async def test_a_failed_job_is_not_charged(acme: Acme) -> None:
    # V8
    job_id = await acme.team.create_job()
    await post(acme, job_id, CALL)
    costs = (await acme.team.complete(job_id, "failed", metadata={"error": "no key points"})).json()["costs"]
    assert (costs["credit_applied"], costs["credits_remaining"]) == (False, 100)
    job = (await acme.team.http.get(f"/api/jobs/{job_id}")).json()
    assert (job["status"], job["metadata"], job["error_message"]) == (
        "failed",
        {"error": "no key points"},
        "no key points",
    )


# Errors. Buffered or streamed, a refusal is a status with `detail` and `error`.

ROUTES = pytest.mark.parametrize("route", ["llm-call", "llm-call-stream"])


@ROUTES
async def test_a_group_of_others_is_403(acme: Acme, route: str) -> None:
    # V9
    answer = await post(acme, await acme.team.create_job(), {**CALL, "model_group": "GPT4Agent"}, route)
    assert answer.status_code == 403
    assert answer.json()["detail"] == documented("llm_calls/error_response.json")["detail"]
    assert answer.json()["error"]["code"] == "model_group_not_allowed"


async def test_no_credits_are_403(start_acme: StartAcme) -> None:
    # V10: at the creation of a job
    acme = await start_acme(credits_allocated=0)
    answer = await acme.team.http.post("/api/jobs/create", json={"job_type": "test"})
    assert_insufficient(answer, needed=1, available=0)


@ROUTES
async def test_credits_that_run_out_are_403(start_acme: StartAcme, route: str) -> None:
    # V10: at a call, where the job's calls have used what there was
    acme = await start_acme(budget_mode="consumption_tokens", tokens_per_credit=10, credits_allocated=4)
    job_id = await acme.team.create_job()
    assert (await post(acme, job_id, CALL)).status_code == 200
    assert_insufficient(await post(acme, job_id, CALL, route), needed=2, available=1, affordable_max_tokens=1)


def assert_insufficient(answer: httpx.Response, *, needed: int, available: int, **facts: int) -> None:
    assert answer.status_code == 403
    sentence = f"Insufficient credits: {needed} needed, {available} available."
    assert answer.json() == {
        "detail": sentence,
        "error": {
            "code": "insufficient_credits",
            "message": sentence,
            "credits_needed": needed,
            "credits_available": available,
            **facts,
        },
    }


@ROUTES
async def test_a_job_of_another_team_is_403(acme: Acme, route: str) -> None:
    job_id = await acme.team.create_job()
    async with httpx.AsyncClient(base_url=acme.url, headers={"Authorization": f"Bearer {MASTER_KEY}"}) as admin:
        made = await admin.post("/api/teams/create", json={"team_id": "acme-two", "credits_allocated": 1})
        key = made.json()["virtual_key"]
        answer = await admin.post(f"/api/jobs/{job_id}/{route}", json=CALL, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "Job does not belong to your team."
    assert answer.json()["error"]["code"] == "job_not_owned"


@ROUTES
async def test_a_missing_or_wrong_key_is_401(acme: Acme, route: str) -> None:
    job_id = await acme.team.create_job()
    async with httpx.AsyncClient(base_url=acme.url) as stranger:
        for key in (None, "Bearer sk-wrong", "Bearer", "Basic eDp5"):
            headers = {} if key is None else {"Authorization": key}
            answer = await stranger.post(f"/api/jobs/{job_id}/{route}", json=CALL, headers=headers)
            assert answer.status_code == 401, key
            assert answer.json()["error"]["code"] == "invalid_key"
            assert answer.json()["detail"] == answer.json()["error"]["message"]


@ROUTES
async def test_an_unknown_job_is_404(acme: Acme, route: str) -> None:
    # V11
    for job_id in ("job_abc", str(uuid4()), str(uuid4()).upper(), "{job_id}", "0", "%00", "ü"):
        answer = await post(acme, job_id, CALL, route)
        assert answer.status_code == 404, job_id
        assert answer.json() == {
            "detail": "Job not found.",
            "error": {"code": "job_not_found", "message": "Job not found."},
        }


WRONG: list[dict[str, Any]] = [
    {"messages": []},
    {"messages": "Hello"},
    {"messages": [{"role": "wizard", "content": "Hello"}]},
    {"messages": [{"role": "user"}]},
    {"temperature": 2.1},
    {"max_tokens": -1},
    {"top_p": 1.1},
    {"frequency_penalty": -2.1},
    {"presence_penalty": 2.1},
    {"stop": 6},
    {"model_group": 4},
]


@ROUTES
async def test_invalid_data_is_422(acme: Acme, route: str) -> None:
    job_id = await acme.team.create_job()
    for wrong in WRONG:
        answer = await post(acme, job_id, CALL | wrong, route)
        assert answer.status_code == 422, wrong
        assert answer.json()["detail"][0]["loc"][:2] == ["body", *wrong]
        assert answer.json()["error"]["code"] == "invalid_request"
    assert acme.seen() == []
    assert (await acme.team.http.get(f"/api/jobs/{job_id}")).json()["status"] == "pending"


@ROUTES
async def test_a_body_that_is_not_json_is_400(acme: Acme, route: str) -> None:
    job_id = await acme.team.create_job()
    answer = await acme.team.http.post(
        f"/api/jobs/{job_id}/{route}", content="{'messages': []}", headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["detail"] == "The body is not valid JSON."


FAILURES = [
    ("e400", 400, "invalid_request"),
    ("e429", 429, "provider_rate_limited"),
    ("e500", 500, "llm_call_failed"),
    ("e503", 503, "provider_unavailable"),
]


@ROUTES
async def test_a_provider_that_fails_is_named_and_free(acme: Acme, route: str) -> None:
    job_id = await acme.team.create_job()
    for group, status, code in FAILURES:
        answer = await post(acme, job_id, {**CALL, "model_group": group}, route)
        assert answer.status_code == status, group
        body = answer.json()
        error = {"code": code, "message": body["detail"], "provider": body["error"]["provider"]}
        assert body == {"detail": body["detail"], "error": error}
        assert body["error"]["provider"]["status"] == int(group[1:])
        assert ("retry-after" in answer.headers) is (status in (429, 503))
    costs = (await acme.team.complete(job_id)).json()["costs"]
    assert (costs["failed_calls"], costs["credit_applied"], costs["credits_remaining"]) == (4, False, 100)


@ROUTES
async def test_a_rate_limit_says_when_to_come_back(acme: Acme, route: str) -> None:
    # V12: the provider's limit; the x-ratelimit headers belong to limits of our own
    answer = await post(acme, await acme.team.create_job(), {**CALL, "model_group": "e429"}, route)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == str(RETRY_AFTER_S)
