"""OpenAI's responses API through its Python SDK: whole, streamed, with tools and structured outputs."""

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.server import COST_USD, Team

TEXT = "".join(WORDS)
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}


class Person(BaseModel):
    name: str
    age: int
    email: str


async def test_a_response_is_a_job_of_one_call(client: openai.AsyncOpenAI, team: Team, provider: Provider) -> None:
    answer = await client.responses.create(
        model="ok", instructions="Be brief.", input="Hello", max_output_tokens=9, metadata={"step": "one"}
    )
    assert (answer.output_text, answer.status) == (TEXT, "completed")
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 10)
    assert answer.usage.model_extra == {"cost_usd": COST_USD}
    assert [message["role"] for message in provider.seen("ok")[0].body["messages"]] == ["system", "user"]
    books = await Books.of(team)
    assert books.credits["credits_used"] == 1
    books.check()


async def test_a_stream_is_put_together(client: openai.AsyncOpenAI, team: Team) -> None:
    async with client.responses.stream(model="ok", input="Hello") as stream:
        said = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
        whole = await stream.get_final_response()
    assert said == whole.output_text == TEXT
    assert whole.usage
    assert whole.usage.total_tokens == 21
    assert (await team.credits())["credits_used"] == 1


async def test_events_are_numbered_and_in_order(client: openai.AsyncOpenAI) -> None:
    events = [event async for event in await client.responses.create(model="think", input="Hello", stream=True)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("reasoning_text.delta", "reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_text.delta", "output_text.done", "completed"),
    ]


async def test_tools_are_called_and_answered(client: openai.AsyncOpenAI, provider: Provider) -> None:
    whole = await client.responses.create(model="tools", input="Hello", tools=[WEATHER], tool_choice="required")
    (call,) = whole.output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Paris"}')
    assert provider.seen("tools")[0].body["tools"][0]["function"]["name"] == "get_weather"
    async with client.responses.stream(model="tools-two", input="Hello") as stream:
        streamed = await stream.get_final_response()
    assert [item.type for item in streamed.output] == ["message", "function_call", "function_call"]
    history: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        *[item.model_dump(exclude_none=True) for item in streamed.output],
        {"type": "function_call_output", "call_id": "call_paris", "output": "sunny"},
        {"type": "function_call_output", "call_id": "call_rome", "output": "rainy"},
    ]
    await client.responses.create(model="ok", input=history)
    sent = provider.seen("ok")[0].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == ["call_paris", "call_rome"]


async def test_structured_outputs_are_parsed(client: openai.AsyncOpenAI, provider: Provider) -> None:
    parsed = await client.responses.parse(model="json", input="Hello", text_format=Person)
    assert parsed.output_parsed == Person(name="John Smith", age=35, email="john@example.com")
    assert provider.seen("json")[0].body["response_format"]["json_schema"]["name"] == "Person"


async def test_a_refusal_is_not_an_answer(client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="refuse", input="Hello")
    async with client.responses.stream(model="refuse", input="Hello") as stream:
        said = "".join([event.delta async for event in stream if event.type == "response.refusal.delta"])
        streamed = await stream.get_final_response()
    assert said == "I cannot."
    for response in (whole, streamed):
        (message,) = response.output
        assert message.type == "message"
        assert message.content[0].type == "refusal"
        assert (message.content[0].refusal, response.output_text) == ("I cannot.", "")


async def test_pictures_and_files_reach_the_model(client: openai.AsyncOpenAI, provider: Provider) -> None:
    content: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
    ]
    await client.responses.create(model="ok", input=[{"role": "user", "content": content}])
    sent = provider.seen("ok")[0].body["messages"][0]["content"]
    assert [part["type"] for part in sent] == ["text", "image_url", "file"]


async def test_an_answer_that_was_cut_says_so(client: openai.AsyncOpenAI) -> None:
    cut = await client.responses.create(model="reason-length", input="Hello")
    assert cut.status == "incomplete"
    assert cut.incomplete_details
    assert cut.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    "refused",
    [
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"conversation": "conv_1"},
        {"tools": [{"type": "web_search"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
    ids=lambda refused: next(iter(refused)),
)
async def test_what_cannot_be_honoured_is_refused(
    client: openai.AsyncOpenAI, provider: Provider, refused: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(**{"model": "ok", "input": "Hello", **refused})
    assert provider.requests == []


async def test_a_stream_that_breaks_raises_and_is_free(client: openai.AsyncOpenAI, team: Team) -> None:
    async def read() -> None:
        async for _ in await client.responses.create(model="break4", input="Hello", stream=True):
            pass

    with pytest.raises(openai.APIError) as broken:
        await read()
    assert broken.value.code == "llm_call_failed"
    assert (await team.credits())["credits_used"] == 0
