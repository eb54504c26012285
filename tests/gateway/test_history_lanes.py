"""What reaches a provider of a history, in both lanes, buffered and streamed, and after a fallback to another provider."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from control_plane.chat import Lane, ProviderCall
from control_plane.gateway.router import Gateway
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.gateway.test_history import DETAIL, PICTURE, SIGNED, USER, calling, result
from tests.support.provider import Provider

Json = dict[str, Any]

TOOL: Json = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
TALK: Sequence[Json] = (
    USER,
    calling(
        "call_1",
        reasoning_content="Let me look.",
        thinking_blocks=[SIGNED],
        reasoning_details=[DETAIL],
        provider_specific_fields={"thought_signatures": ["Z2Vt"]},
    ),
    {"role": "assistant", "content": "Wait."},
    result("call_1", [{"type": "text", "text": "A map"}, PICTURE]),
)
MODELS = {
    "openai": "openai/gpt-4o",
    "deepseek": "deepseek/deepseek-chat",
    "openrouter": "openrouter/anthropic/claude-sonnet-4.5",
    "hosted_vllm": "hosted_vllm/qwen3",
    "moonshot": "moonshot/kimi-k2-thinking",
    "xai": "xai/grok-4",
    "cerebras": "cerebras/gpt-oss-120b",
    "mistral": "mistral/mistral-large-latest",
}
KEPT = {
    "deepseek": {"reasoning_content"},
    "openrouter": {"reasoning_details"},
    "hosted_vllm": {"reasoning_content"},
    "moonshot": {"reasoning_content"},
    "xai": {"reasoning_content"},
}


async def asked(gateway: Gateway, call: ProviderCall, *, is_stream: bool) -> None:
    if not is_stream:
        await gateway.complete(call)
        return
    stream = await gateway.stream(call)
    async for _ in stream:
        pass
    await stream.aclose()


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name", MODELS)
async def test_each_provider_gets_what_it_accepts(
    gateway_for: Opener, deploy: Deploy, provider: Provider, name: str, *, is_stream: bool
) -> None:
    gateway = await gateway_for(deploy("ok", model=MODELS[name]))
    await asked(gateway, make_call("ok", messages=TALK, tools=[TOOL]), is_stream=is_stream)
    messages = provider.seen("ok")[0].body["messages"]
    # the text behind the calls stands with them, the result directly behind, its picture after that
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user"]
    answer = messages[1]
    assert (answer["content"], answer["tool_calls"][0]["id"]) == ("Wait.", "call_1")
    fields = {field for field, value in answer.items() if value is not None}
    assert fields - {"role", "content", "tool_calls"} == KEPT.get(name, set())
    assert messages[2]["content"] == "A map"
    shown = messages[3]["content"]
    assert "call_1" in str(shown)
    if name != "deepseek":  # whose models read text alone: LiteLLM leaves pictures out there
        assert PICTURE in shown


async def test_a_fallback_gets_what_the_first_provider_would_have_refused(
    gateway_for: Opener, deploy: Deploy, provider: Provider
) -> None:
    gateway = await gateway_for(deploy("e500"), deploy("ok", model=MODELS["deepseek"]))
    await gateway.complete(make_call("e500", "ok", messages=TALK, service_tier="flex"))
    first, second = provider.seen("e500")[0].body, provider.seen("ok")[0].body
    assert (first["service_tier"], "service_tier" in second) == ("flex", False)
    assert "reasoning_content" not in first["messages"][1]
    assert second["messages"][1]["reasoning_content"] == "Let me look."


async def test_cache_marks_and_forms_of_answers_stay_where_they_are_understood(
    gateway_for: Opener, deploy: Deploy, provider: Provider
) -> None:
    marked = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    gateway = await gateway_for(
        deploy("ok"),
        deploy("json", model=MODELS["openrouter"]),
        deploy("think", model=MODELS["deepseek"]),
    )
    for behaviour in ("ok", "json", "think"):
        await gateway.complete(
            make_call(
                behaviour,
                messages=[{"role": "user", "content": [marked]}],
                tools=[{**TOOL, "cache_control": {"type": "ephemeral"}}],
                prediction={"type": "content", "content": "x"},
                service_tier="priority",
            )
        )
    openai, openrouter, deepseek = (provider.seen(each)[0].body for each in ("ok", "json", "think"))
    assert "cache_control" not in str(openai)
    assert "cache_control" not in str(deepseek)
    assert openrouter["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert ("prediction" in openai, "prediction" in deepseek) == (True, False)
    assert (openai["service_tier"], "service_tier" in deepseek) == ("priority", False)


@dataclass
class Claude:
    """A server of Anthropic's wire that remembers what it was asked."""

    port: int = 0
    bodies: list[Json] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        usage = {"input_tokens": 11, "output_tokens": 10}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "usage": usage}
        said = {"content": [{"type": "text", "text": "Sunny."}], "stop_reason": "end_turn", "stop_sequence": None}
        return web.json_response({**message, **said})


@pytest_asyncio.fixture(loop_scope="session")
async def claude() -> AsyncIterator[Claude]:
    server = Claude()
    app = web.Application()
    app.router.add_post("/v1/messages", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


async def test_claude_gets_its_signed_thinking_and_the_picture_in_the_result(
    gateway_for: Opener, deploy: Deploy, claude: Claude, lane: Lane
) -> None:
    """In the relay's lane, too, since a group may hold Claude beside a provider that is relayed to."""
    beside = [deploy("ok")] if lane == "relay" else []
    address = f"http://127.0.0.1:{claude.port}"
    gateway = await gateway_for(deploy("json", model="anthropic/claude-sonnet-4-5", api_base=address), *beside)
    thinking = {"type": "enabled", "budget_tokens": 2000}
    asks = make_call("json", messages=TALK, tools=[TOOL], thinking=thinking, service_tier="default")
    await gateway.complete(asks)
    lost = [{**TALK[1], "thinking_blocks": None, "reasoning_details": None}, TALK[3]]
    await gateway.complete(make_call("json", messages=[USER, *lost], tools=[TOOL], thinking=thinking))
    kept, without = claude.bodies
    user, said, answered = kept["messages"]
    assert [block["type"] for block in said["content"]] == ["thinking", "tool_use", "text"]
    assert said["content"][0] == SIGNED
    assert [part["type"] for part in answered["content"][0]["content"]] == ["text", "image"]
    assert (user["role"], kept["service_tier"], kept["thinking"]) == ("user", "standard_only", thinking)
    assert "thinking" not in without
