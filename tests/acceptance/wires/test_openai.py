"""OpenAI's Python SDK works with another base URL, and every call is a job's."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.server import COST_USD, Server, Team, new_team

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "".join(WORDS)
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Person(BaseModel):
    name: str
    age: int
    email: str


async def test_the_model_decides_how_warm_it_is(client: openai.AsyncOpenAI, provider: Provider) -> None:
    await client.chat.completions.create(model="ok", messages=HELLO, max_completion_tokens=7, seed=1)
    asked = provider.seen("ok")[0].body
    assert "temperature" not in asked
    assert (asked["max_tokens"], asked["seed"]) == (7, 1)


async def test_a_stream_ends_with_its_usage_only_when_asked(client: openai.AsyncOpenAI, team: Team) -> None:
    plain = [chunk async for chunk in await client.chat.completions.create(model="ok", messages=HELLO, stream=True)]
    assert all(chunk.choices and chunk.usage is None for chunk in plain)
    assert plain[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == TEXT
    assert plain[-1].choices[0].finish_reason == "stop"
    with_usage = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="ok", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    ]
    last = with_usage[-1]
    assert last.choices == []
    assert last.usage
    assert last.usage.total_tokens == 21
    assert last.usage.model_extra == {"cost_usd": COST_USD}
    assert (await team.credits())["credits_used"] == 2


async def test_several_answers_have_their_own_roles_and_ends(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="ok", messages=HELLO, n=2)
    assert [choice.message.content for choice in whole.choices] == [TEXT, TEXT]
    said = {0: "", 1: ""}
    roles, ends = [], []
    async for chunk in await client.chat.completions.create(model="ok", messages=HELLO, n=2, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            roles += [choice.index] if choice.delta.role else []
            ends += [choice.index] if choice.finish_reason else []
    assert said == {0: TEXT, 1: TEXT}
    assert (sorted(roles), sorted(ends)) == ([0, 1], [0, 1])


async def test_tools_are_called_and_answered(client: openai.AsyncOpenAI, provider: Provider) -> None:
    whole = await client.chat.completions.create(model="tools", messages=HELLO, tools=[WEATHER])
    call = whole.choices[0].message.tool_calls
    assert call
    assert call[0].type == "function"
    assert json.loads(call[0].function.arguments) == {"city": "Paris"}
    assert whole.choices[0].finish_reason == "tool_calls"
    async with client.chat.completions.stream(model="tools", messages=HELLO, tools=[WEATHER]) as stream:
        streamed = (await stream.get_final_completion()).choices[0].message
    assert streamed.tool_calls
    assert streamed.tool_calls[0].function.arguments == '{"city": "Paris"}'
    history: list[Any] = [
        *HELLO,
        whole.choices[0].message,
        {"role": "tool", "tool_call_id": call[0].id, "content": "sunny"},
    ]
    again = await client.chat.completions.create(model="ok", messages=history)
    assert again.choices[0].message.content == TEXT
    sent = provider.seen("ok")[0].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == "call_weather"


async def test_parallel_tool_calls_stay_apart_in_a_stream(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="tools-two", messages=HELLO) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    assert message.content == "Let me look."
    assert message.tool_calls
    assert [call.id for call in message.tool_calls] == ["call_paris", "call_rome"]


async def test_structured_outputs_are_parsed(client: openai.AsyncOpenAI, provider: Provider) -> None:
    parsed = await client.chat.completions.parse(model="json", messages=HELLO, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="John Smith", age=35, email="john@example.com")
    assert provider.seen("json")[0].body["response_format"]["type"] == "json_schema"


async def test_a_refusal_is_not_an_answer_and_can_be_sent_back(client: openai.AsyncOpenAI, provider: Provider) -> None:
    whole = await client.chat.completions.parse(model="refuse", messages=HELLO, response_format=Person)
    said = whole.choices[0].message
    assert (said.refusal, said.content, said.parsed) == ("I cannot.", None, None)
    async with client.chat.completions.stream(model="refuse", messages=HELLO, response_format=Person) as stream:
        streamed = (await stream.get_final_completion()).choices[0].message
    assert (streamed.refusal, streamed.content) == ("I cannot.", None)
    history: list[Any] = [*HELLO, said, {"role": "assistant", "audio": {"id": "audio_1"}}, *HELLO]
    await client.chat.completions.create(model="ok", messages=history)
    sent = provider.seen("ok")[0].body["messages"]
    assert sent[1:3] == [
        {"role": "assistant", "refusal": "I cannot."},
        {"role": "assistant", "audio": {"id": "audio_1"}},
    ]


async def test_likely_tokens_come_with_what_was_said(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="ok", messages=HELLO, logprobs=True, top_logprobs=2)
    logprobs = whole.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert (logprobs.content[0].logprob, len(logprobs.content[0].top_logprobs)) == (-0.5, 2)
    stream = await client.chat.completions.create(model="ok", messages=HELLO, logprobs=True, stream=True)
    pieces = [piece.choices[0].logprobs async for piece in stream]
    assert [piece.content[0].token for piece in pieces if piece and piece.content] == list(WORDS)


async def test_pictures_reach_the_model(client: openai.AsyncOpenAI, provider: Provider) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    content: Any = [{"type": "text", "text": "What is this?"}, picture, sound]
    await client.chat.completions.create(model="ok", messages=[{"role": "user", "content": content}])
    sent = provider.seen("ok")[0].body["messages"][0]["content"]
    assert [part["type"] for part in sent] == ["text", "image_url", "input_audio"]


@pytest.mark.parametrize("wanted", ["float", "base64"])
async def test_embeddings_come_as_asked_for_and_are_billed(
    client: openai.AsyncOpenAI, team: Team, provider: Provider, wanted: Any
) -> None:
    answer = await client.embeddings.create(model="ok", input=["a", "b"], encoding_format=wanted, dimensions=2)
    expected: Any = [0.25, -0.5] if wanted == "float" else "AACAPgAAAL8="
    assert [item.embedding for item in answer.data] == [expected, expected]
    assert answer.usage.prompt_tokens == 11
    assert (await team.credits())["credits_used"] == 1
    assert provider.seen("ok")[0].body["dimensions"] == 2
    await client.embeddings.create(model="ok", input=[[1, 2, 3], [4]])
    assert provider.seen("ok")[1].body["input"] == [[1, 2, 3], [4]]


async def test_models_are_what_the_key_may_use_and_nothing_else(server: Server, client: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in await client.models.list()]
    assert {"ok", "Falling", "e500"} <= set(names)
    assert "Private" not in names
    assert (await client.models.retrieve("Falling")).object == "model"
    for hidden in ("Private", "nothing"):
        with pytest.raises(openai.NotFoundError) as missing:
            await client.models.retrieve(hidden)
        assert missing.value.code == "model_not_found"


async def test_a_key_limited_to_groups_lists_no_others(client: openai.AsyncOpenAI, team: Team) -> None:
    made = await team.admin.post(f"/api/teams/{team.id}/keys", json={"model_groups": ["Falling"]})
    limited = client.with_options(api_key=made.json()["virtual_key"])
    assert [model.id async for model in await limited.models.list()] == ["Falling"]


FAILURES: dict[str, tuple[type[openai.APIStatusError], str]] = {
    "e400": (openai.BadRequestError, "invalid_request"),
    "context": (openai.BadRequestError, "context_length_exceeded"),
    "policy": (openai.BadRequestError, "content_policy_violation"),
    "Private": (openai.PermissionDeniedError, "model_group_not_allowed"),
    "nothing": (openai.NotFoundError, "model_not_found"),
    "e429": (openai.RateLimitError, "provider_rate_limited"),
    "e500": (openai.InternalServerError, "llm_call_failed"),
    "e503": (openai.InternalServerError, "provider_unavailable"),
}


@pytest.mark.parametrize("stream", [False, True])
async def test_each_failure_raises_its_class_and_is_free(client: openai.AsyncOpenAI, team: Team, stream: Any) -> None:
    for model, (kind, code) in FAILURES.items():
        with pytest.raises(kind) as raised:
            await client.chat.completions.create(model=model, messages=HELLO, stream=stream)
        assert raised.value.code == code
        if raised.value.status_code in (429, 503):
            assert int(raised.value.response.headers["retry-after"]) >= 1
    books = await Books.of(team)
    assert books.credits["credits_used"] == books.credits["credits_held"] == 0


async def test_our_own_rate_limit_raises_its_class(server: Server, client: openai.AsyncOpenAI) -> None:
    async with new_team(server, rpm=1) as slow:
        theirs = client.with_options(api_key=slow.key)
        await theirs.chat.completions.create(model="ok", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as limited:
            await theirs.chat.completions.create(model="ok", messages=HELLO)
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["retry-after"]) >= 1
    assert limited.value.response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_keys_and_credits_raise_theirs(server: Server, client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as unknown:
        await client.with_options(api_key="sk-unknown").chat.completions.create(model="ok", messages=HELLO)
    assert unknown.value.code == "invalid_api_key"
    async with new_team(server, credits_allocated=0) as poor:
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.with_options(api_key=poor.key, max_retries=2).chat.completions.create(
                model="ok", messages=HELLO
            )
    assert (refused.value.code, refused.value.type) == ("insufficient_credits", "insufficient_quota")
    with pytest.raises(openai.NotFoundError) as no_job:
        await client.chat.completions.create(model="ok", messages=HELLO, extra_headers={"X-Job-Id": "job_abc"})
    assert no_job.value.code == "job_not_found"


async def test_what_does_not_fit_is_a_bad_request_that_says_where(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.chat.completions.create(model="ok", messages=HELLO, temperature=9)
    assert (wrong.value.param, wrong.value.type) == ("temperature", "invalid_request_error")
    unsupported: list[dict[str, Any]] = [
        {"functions": [{}]},
        {"web_search_options": {}},
        {"service_tier": "fastest"},
        {"tools": [{"type": "custom", "custom": {"name": "write"}}]},
    ]
    for refused in unsupported:
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="ok", messages=HELLO, extra_body=refused)
    raw = await client.chat.completions.with_raw_response.create(model="ok", messages=HELLO, store=True)
    assert raw.headers["X-Ignored-Fields"] == "store"


async def test_an_overloaded_provider_is_asked_again_and_charged_once(
    client: openai.AsyncOpenAI, team: Team, provider: Provider
) -> None:
    answer = await client.with_options(max_retries=2).chat.completions.create(model="flaky1", messages=HELLO)
    assert answer.choices[0].message.content == TEXT
    assert provider.count("flaky1") == 2
    assert (await team.credits())["credits_used"] == 1


async def test_paths_and_methods_nobody_knows_say_so_as_openai_does(team: Team) -> None:
    for answer in (
        await team.http.get("/v1/nothing"),
        await team.http.delete("/v1/chat/completions"),
        await team.http.post("/v1/chat/completions", content=b"{"),
    ):
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_strangers_key_lists_no_models(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/models")).status_code == 401


async def test_who_offers_functions_gets_a_function_call(team: Team) -> None:
    asked = {
        "model": "tools",
        "messages": [{"role": "user", "content": "Weather?"}],
        "functions": [{"name": "get_weather", "parameters": {"type": "object"}}],
    }
    answer = (await team.http.post("/v1/chat/completions", json=asked)).json()["choices"][0]
    expected = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert (answer["message"]["function_call"], answer["finish_reason"]) == (expected, "function_call")
    assert "tool_calls" not in answer["message"]
    stream = await team.http.post("/v1/chat/completions", json={**asked, "stream": True})
    chunks = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"].get("function_call", {}) for chunk in chunks]
    assert "".join(delta.get("name", "") for delta in deltas) == expected["name"]
    assert "".join(delta.get("arguments", "") for delta in deltas) == expected["arguments"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"
