"""Document S4's Node examples run as they are printed: only address and key are put in."""

import re

import pytest

from tests.acceptance.respond.server import LLAMA, App, StartApp
from tests.support.seed_runner import TEXT, needs

pytestmark = [needs("node"), pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

USAGE = "{ prompt_tokens: 11, completion_tokens: 10, total_tokens: 21 }"


async def test_a_buffered_request(app: App) -> None:
    ran = await app.run_node("respond/node_basic.cjs")
    assert ran.out == f"Response: {TEXT}\nUsage: {USAGE}\n"
    asked = app.asked()
    assert asked["messages"] == [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
    ]
    assert (asked["temperature"], asked["max_tokens"]) == (0.7, 1000)


async def test_a_streamed_request(app: App) -> None:
    after = "streamLLM([{role: 'user', content: [{type: 'text', text: 'Hello!'}]}]);"
    ran = await app.run_node("respond/node_stream.cjs", after=after)
    assert re.fullmatch(rf"{TEXT}\n\n\[Done\] \{{\n.+\}}\n\nStream complete\n", ran.out, re.DOTALL)
    assert USAGE in ran.out


async def test_a_streamed_tool_call(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "tools-two"})
    ran = await app.run_node("respond/node_stream.cjs", after="streamLLM([{role: 'user', content: 'Weather?'}]);")
    assert ran.out.startswith("Let me look.\n[Tool Call] get_weather { location: 'Paris', days: 12345678901234567000 }")
    assert "\n[Tool Call] get_weather { location: 'Rome' }\n" in ran.out


async def test_a_loop_of_tools(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "tool-then-text"})
    ran = await app.run_node("respond/node_tools.cjs")
    assert ran.out == f"Assistant: \nAssistant: {TEXT}\nConversation complete\n"
    first, second = app.provider.requests
    assert first.body["tool_choice"] == "auto"
    assert second.body["messages"] == [
        {"role": "user", "content": "What is the weather in San Francisco?"},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_123",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"location":"San Francisco, CA"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_123", "content": "The weather in San Francisco, CA is 72°F and sunny."},
    ]
