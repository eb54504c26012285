"""Anthropic's Python SDK works with another base URL, whatever provider is behind the model group."""

from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.server import COST_USD, Server, Team, new_team

HELLO: list[MessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "".join(WORDS)
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PICTURE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PDF: Any = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}


async def test_a_message_is_a_job_of_one_call(claude: anthropic.AsyncAnthropic, team: Team, provider: Provider) -> None:
    raw = await claude.messages.with_raw_response.create(
        model="ok",
        max_tokens=9,
        system="Be brief.",
        messages=HELLO,
        stop_sequences=["END"],
        metadata={"user_id": "ada"},
        extra_headers={"X-Job-Type": "greeting"},
    )
    answer = await raw.parse()
    assert [block.text for block in answer.content if block.type == "text"] == [TEXT]
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 10)
    assert answer._request_id == raw.headers["x-request-id"]
    job = (await team.http.get(f"/api/jobs/{raw.headers['X-Job-Id']}")).json()
    assert (job["job_type"], job["user_id"], job["credits_charged"]) == ("greeting", "ada", 1)
    asked = provider.seen("ok")[0].body
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert (asked["max_tokens"], asked["stop"]) == (9, ["END"])
    assert "temperature" not in asked
    (await Books.of(team)).check()


async def test_a_stream_is_put_together(claude: anthropic.AsyncAnthropic, team: Team) -> None:
    async with claude.messages.stream(model="ok", max_tokens=9, messages=HELLO) as stream:
        said = [text async for text in stream.text_stream]
        whole = await stream.get_final_message()
    assert said == list(WORDS)
    assert whole.stop_reason == "end_turn"
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (11, 10)
    assert (await team.credits())["credits_used"] == 1


async def test_events_come_in_anthropics_order(claude: anthropic.AsyncAnthropic) -> None:
    stream = await claude.messages.create(model="ok", max_tokens=9, messages=HELLO, stream=True)
    kinds = [event.type async for event in stream]
    middle = ["content_block_start", *["content_block_delta"] * 10, "content_block_stop"]
    assert kinds == ["message_start", *middle, "message_delta", "message_stop"]


async def test_tools_are_called_and_answered(claude: anthropic.AsyncAnthropic, provider: Provider) -> None:
    whole = await claude.messages.create(
        model="tools", max_tokens=9, messages=HELLO, tools=[WEATHER], tool_choice={"type": "any"}
    )
    (use,) = whole.content
    assert use.type == "tool_use"
    assert (use.name, use.input, whole.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use")
    asked = provider.seen("tools")[0].body
    assert asked["tool_choice"] == "required"
    assert asked["tools"][0]["function"]["parameters"] == WEATHER["input_schema"]
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "sunny"}]}
    history: list[Any] = [
        *HELLO,
        {"role": "assistant", "content": whole.content},
        {"role": "user", "content": [result, {"type": "text", "text": "And now?"}]},
    ]
    await claude.messages.create(model="ok", max_tokens=9, messages=history)
    sent = provider.seen("ok")[0].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]
    assert sent[2]["content"] == "sunny"


async def test_parallel_tool_calls_are_put_together_from_a_stream(claude: anthropic.AsyncAnthropic) -> None:
    async with claude.messages.stream(model="tools-two", max_tokens=9, messages=HELLO, tools=[WEATHER]) as stream:
        whole = await stream.get_final_message()
    assert [block.type for block in whole.content] == ["text", "tool_use", "tool_use"]
    inputs = [block.input for block in whole.content if block.type == "tool_use"]
    assert inputs[1] == {"location": "Rome"}
    assert inputs[0]["location"] == "Paris"


async def test_thoughts_come_as_blocks_of_their_own(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(model="think", max_tokens=9, messages=HELLO)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    async with claude.messages.stream(model="think", max_tokens=9, messages=HELLO) as stream:
        streamed = await stream.get_final_message()
    thought = streamed.content[0]
    assert thought.type == "thinking"
    assert thought.thinking == "Let me think."
    assert streamed.content[1].type == "text"


async def test_a_refusal_is_said_in_words(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(model="refuse", max_tokens=9, messages=HELLO)
    async with claude.messages.stream(model="refuse", max_tokens=9, messages=HELLO) as stream:
        streamed = await stream.get_final_message()
    for message in (whole, streamed):
        assert [block.text for block in message.content if block.type == "text"] == ["I cannot."]


async def test_pictures_and_documents_reach_the_model(claude: anthropic.AsyncAnthropic, provider: Provider) -> None:
    text: Any = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once"}}
    content: Any = [
        PICTURE,
        PDF,
        text,
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]
    await claude.messages.create(model="ok", max_tokens=9, messages=[{"role": "user", "content": content}])
    sent = provider.seen("ok")[0].body["messages"][0]["content"]
    assert [part["type"] for part in sent] == ["image_url", "file", "text", "text"]
    assert sent[0]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    assert sent[1]["file"]["file_data"] == "data:application/pdf;base64,JVBERi0="


async def test_calls_join_a_job(claude: anthropic.AsyncAnthropic, team: Team) -> None:
    job_id = await team.create_job()
    for completes in ("false", "true"):
        await claude.messages.create(
            model="ok",
            max_tokens=9,
            messages=HELLO,
            extra_headers={"X-Job-Id": job_id, "X-Job-Complete": completes},
        )
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["credits_charged"] == 1
    assert (await team.costs(job_id))["total_cost_usd"] == 2 * COST_USD
    with pytest.raises(anthropic.ConflictError):
        await claude.messages.create(
            model="ok", max_tokens=9, messages=HELLO, extra_headers={"X-Job-Id": job_id, "X-Job-Complete": "true"}
        )


FAILURES: dict[str, tuple[type[anthropic.APIStatusError], str]] = {
    "context": (anthropic.BadRequestError, "invalid_request_error"),
    "Private": (anthropic.PermissionDeniedError, "permission_error"),
    "nothing": (anthropic.NotFoundError, "not_found_error"),
    "e429": (anthropic.RateLimitError, "rate_limit_error"),
    "e500": (anthropic.InternalServerError, "api_error"),
    "e503": (anthropic.ServiceUnavailableError, "overloaded_error"),
}


@pytest.mark.parametrize("stream", [False, True])
async def test_each_failure_raises_its_class_and_is_free(
    claude: anthropic.AsyncAnthropic, team: Team, stream: Any
) -> None:
    for model, (kind, said) in FAILURES.items():
        with pytest.raises(kind) as raised:
            await claude.messages.create(model=model, max_tokens=9, messages=HELLO, stream=stream)
        body: Any = raised.value.body
        assert (body["type"], body["error"]["type"]) == ("error", said)
    assert (await team.credits())["credits_available"] == 100


async def test_keys_credits_limits_and_schemas_raise_theirs(server: Server, claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        await claude.with_options(api_key="sk-unknown").messages.create(model="ok", max_tokens=9, messages=HELLO)
    async with new_team(server, credits_allocated=0) as poor:
        with pytest.raises(anthropic.PermissionDeniedError) as refused:
            await claude.with_options(api_key=poor.key).messages.create(model="ok", max_tokens=9, messages=HELLO)
    body: Any = refused.value.body
    assert (body["error"]["type"], body["error"]["code"]) == ("billing_error", "insufficient_credits")
    async with new_team(server, rpm=1) as slow:
        theirs = claude.with_options(api_key=slow.key)
        await theirs.messages.create(model="ok", max_tokens=9, messages=HELLO)
        with pytest.raises(anthropic.RateLimitError) as limited:
            await theirs.messages.create(model="ok", max_tokens=9, messages=HELLO)
    assert int(limited.value.response.headers["retry-after"]) >= 1
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError) as unsupported:
        await claude.messages.create(model="ok", max_tokens=9, messages=HELLO, tools=[search])
    assert "tools.0" in str(unsupported.value)


async def test_a_stream_that_breaks_raises_and_is_free(claude: anthropic.AsyncAnthropic, team: Team) -> None:
    async def read() -> None:
        async with claude.messages.stream(model="break4", max_tokens=9, messages=HELLO) as stream:
            await stream.get_final_message()

    with pytest.raises(anthropic.APIStatusError) as broken:
        await read()
    body: Any = broken.value.body
    assert body["error"]["code"] == "llm_call_failed"
    assert (await team.credits())["credits_used"] == 0


async def test_a_stream_that_is_left_closes_the_provider_and_is_paid(
    claude: anthropic.AsyncAnthropic, client: openai.AsyncOpenAI, team: Team, provider: Provider
) -> None:
    async with claude.messages.stream(model="hold", max_tokens=9, messages=HELLO) as stream:
        async for _ in stream.text_stream:
            break
    async with client.responses.stream(model="hold", input="Hello") as events:
        async for event in events:
            if event.type == "response.output_text.delta":
                break
    await provider.wait_closed("hold", 2)
    assert (await Books.of_closed_jobs(team)).credits["credits_used"] == 2


async def test_tokens_are_counted_for_nothing(claude: anthropic.AsyncAnthropic, team: Team, provider: Provider) -> None:
    counted = await claude.messages.count_tokens(model="ok", messages=HELLO, tools=[WEATHER])
    assert counted.input_tokens > 5
    assert provider.requests == []
    assert (await Books.of(team)).jobs == []


async def test_models_come_in_anthropics_shape(claude: anthropic.AsyncAnthropic) -> None:
    names = [model.id async for model in claude.models.list()]
    assert "ok" in names
    assert "Private" not in names
    assert (await claude.models.retrieve("ok")).display_name == "ok"
