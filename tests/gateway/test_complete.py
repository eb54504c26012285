"""Buffered answers: what the customer gets, what it costs, and what reaches the provider."""

import asyncio
import threading
from typing import Any

import pytest

from control_plane.chat import ChatRequest, Lane, ProviderCall, ServedBy
from control_plane.completion.finish import Finish
from control_plane.completion.usage import Usage
from control_plane.errors import LlmCallFailed, ModelTimeout
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.pricing import prices
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider

TEXT = "one two three four five six seven eight nine ten"
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


async def test_an_answer_names_who_served_it_and_what_it_cost(gateway_for: Opener, lane: Lane) -> None:
    gateway = await gateway_for("ok")
    answer = await gateway.complete(make_call("ok"))
    assert answer.message.text == TEXT
    assert not answer.message.tool_calls
    assert answer.ending.finish == Finish("stop", "stop")
    assert answer.usage == Usage(prompt_tokens=11, completion_tokens=10)
    assert answer.cost == 11 * 1_000 + 10 * 2_000
    assert answer.served == ServedBy("ok#1", "gpt-4o", provider="openai", model_name="ok", lane=lane)
    assert not answer.is_cached


async def test_float_noise_costs_nobody_a_nano_dollar(gateway_for: Opener, deploy: Deploy) -> None:
    # 11 * 3e-6 + 10 * 6e-6 is 9.300000000000001e-05 as a float
    gateway = await gateway_for(deploy("ok", info={"input_cost_per_token": 3e-6, "output_cost_per_token": 6e-6}))
    assert (await gateway.complete(make_call("ok"))).cost == 93_000


async def test_a_tool_call_comes_whole(gateway_for: Opener) -> None:
    gateway = await gateway_for("tools")
    answer = await gateway.complete(make_call("tools", tools=[TOOL], tool_choice="auto"))
    assert answer.message.text == ""
    assert answer.ending.finish.reason == "tool_calls"
    assert [(call.id, call.name, call.arguments) for call in answer.message.tool_calls] == [
        ("call_weather", "get_weather", '{"city": "Paris"}')
    ]


@pytest.mark.parametrize(("behaviour", "reason"), [("reason-length", "length"), ("filter", "content_filter")])
async def test_the_finish_reason_is_the_providers(gateway_for: Opener, behaviour: str, reason: str) -> None:
    gateway = await gateway_for(behaviour)
    assert (await gateway.complete(make_call(behaviour))).ending.finish.reason == reason


async def test_an_answer_without_usage_is_counted_marked_and_priced(gateway_for: Opener) -> None:
    gateway = await gateway_for("nousage")
    answer = await gateway.complete(make_call("nousage"))
    assert answer.usage.is_estimated
    assert answer.usage.completion_tokens == 10
    assert answer.usage.prompt_tokens > 0
    assert answer.cost == answer.usage.prompt_tokens * 1_000 + answer.usage.completion_tokens * 2_000


async def test_cached_prompt_tokens_cost_what_the_price_list_says(gateway_for: Opener, deploy: Deploy) -> None:
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_read_input_token_cost": 1e-7}
    gateway = await gateway_for(deploy("cached", info=prices))
    answer = await gateway.complete(make_call("cached"))
    assert answer.cost == 3 * 1_000 + 8 * 100 + 10 * 2_000


@pytest.mark.parametrize("stop", ["END", ["END", "STOP"]])
async def test_stop_reaches_the_provider_as_it_was_given(gateway_for: Opener, provider: Provider, stop: Any) -> None:
    gateway = await gateway_for("ok")
    await gateway.complete(make_call("ok", stop=stop))
    assert provider.seen("ok")[0].body["stop"] == stop


async def test_only_messages_and_chat_parameters_reach_the_provider(gateway_for: Opener, provider: Provider) -> None:
    # given a request whose parameters were tampered with behind ChatRequest's check
    gateway = await gateway_for("ok", "e500")
    parameters: dict[str, Any] = {"temperature": 0.5, "max_tokens": 7, "seed": 3, "response_format": {"type": "text"}}
    call = make_call("ok", **parameters)
    assert isinstance(call.request, ChatRequest)
    assert isinstance(call.request.parameters, dict)
    call.request.parameters.update(
        api_base=provider.url("e500"),
        mock_response="free",
        input_cost_per_token=0,
        extra_body={"x": 1},
        model="e500",
        fallbacks=["e500"],
        litellm_call_id="theirs",
    )
    # when called
    answer = await gateway.complete(call)
    # then our key went to our address only, the price is ours, and nothing else was sent
    body = provider.seen("ok")[0].body
    assert body.keys() - {"stream"} == {"model", "messages", *parameters}
    assert body["model"] == "gpt-4o"
    assert provider.seen("ok")[0].headers["authorization"] == "Bearer sk-test"
    assert provider.count("e500") == 0
    assert answer.cost == 31_000


async def test_a_parameter_the_model_does_not_take_is_dropped(
    gateway_for: Opener, deploy: Deploy, provider: Provider
) -> None:
    gateway = await gateway_for(deploy("ok", model="openai/o3"))
    await gateway.complete(make_call("ok", temperature=0.7, max_tokens=5))
    body = provider.seen("ok")[0].body
    assert "temperature" not in body
    assert body["max_completion_tokens"] == 5


async def test_an_mcp_tool_never_makes_the_gateway_call_out(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("ok", "e500")
    tool = {"type": "mcp", "server_label": "x", "server_url": provider.url("e500"), "require_approval": "never"}
    proxy_tool = {**tool, "server_url": "litellm_proxy/mcp/x"}
    await gateway.complete(make_call("ok", tools=[TOOL, tool, proxy_tool]))
    assert [request.behaviour for request in provider.requests] == ["ok"]


async def test_the_callers_request_is_left_as_it_was(gateway_for: Opener) -> None:
    gateway = await gateway_for("e500", "ok")
    call = make_call("e500", "ok", tools=[TOOL])
    await gateway.complete(call)
    assert call.request == make_call("ok", tools=[TOOL]).request


async def test_a_cancelled_call_leaves_the_provider(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("timeout")
    task = asyncio.create_task(gateway.complete(make_call("timeout")))
    await provider.wait_requests("timeout")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await provider.wait_closed("timeout")


async def test_the_routers_timeout_counts_for_every_provider(gateway_for: Opener, deploy: Deploy) -> None:
    for model in ("openai/gpt-4o", "openrouter/meta/llama-3-70b-instruct"):
        gateway = await gateway_for(deploy("timeout", model=model), timeout=0.3)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ModelTimeout):
                await gateway.complete(make_call("timeout"))


async def test_a_deployments_id_is_not_a_models_name(gateway_for: Opener, provider: Provider) -> None:
    # LiteLLM would take it, past every permission
    gateway = await gateway_for("ok")
    with pytest.raises(ValueError, match="not in the configuration"):
        await gateway.complete(make_call("ok#1"))
    assert provider.requests == []


async def test_a_demo_deployment_answers_offline_with_usage_and_a_cost(gateway_for: Opener) -> None:
    gateway = await gateway_for(demo("Hello from the demo model"), demo("litellm.InternalServerError", name="broken"))
    answer = await gateway.complete(make_call("demo"))
    assert answer.message.text == "Hello from the demo model"
    assert answer.usage.total_tokens > 0
    assert answer.cost
    # and the fallback demo
    assert (await gateway.complete(make_call("broken", "demo"))).served.deployment_id == "demo#1"
    with pytest.raises(LlmCallFailed):
        await gateway.complete(make_call("broken"))


@pytest.mark.parametrize(
    ("params", "info"),
    [
        ({"model": "openai/gpt-4o"}, {}),
        ({"model": "gpt-4o"}, {}),
        ({"model": "openai/my-name"}, {"base_model": "gpt-4o"}),
        ({"model": "azure/my-deployment", "api_version": "2024-02-01"}, {"base_model": "azure/gpt-4o"}),
        ({"model": "openai/my-name"}, {"input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5}),
        ({"model": "anthropic/claude-x"}, {"input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5}),
    ],
)
async def test_our_own_pricing_agrees_with_litellms(
    gateway_for: Opener, params: dict[str, Any], info: dict[str, Any]
) -> None:
    # given a deployment priced by list, base model or explicitly, answering offline
    deployment = Deployment("d", "m", {"mock_response": "Hello there", "api_key": "k", **params}, info)
    gateway = await gateway_for(deployment)
    # when streamed to the end, LiteLLM prices it; when left after one chunk, we do
    whole = await gateway.stream(make_call("m"))
    async for _ in whole:
        pass
    usage, cost = await whole.settle()
    assert cost == usage.prompt_tokens * 2_500 + usage.completion_tokens * 10_000
    part = await gateway.stream(make_call("m"))
    await part.aclose()
    usage, cost = await part.settle()
    assert cost == usage.prompt_tokens * 2_500 + usage.completion_tokens * 10_000
    assert cost > 0
    # and before any answer
    usage, cost = await gateway.estimate(make_call("m"))
    assert (usage.completion_tokens, cost) == (0, usage.prompt_tokens * 2_500)


async def test_an_estimate_counts_tools_and_long_prompts_without_any_call(
    gateway_for: Opener, provider: Provider
) -> None:
    gateway = await gateway_for("ok")

    async def tokens(call: ProviderCall) -> int:
        usage, _ = await gateway.estimate(call)
        assert usage.is_estimated
        return usage.prompt_tokens

    plain = await tokens(make_call("ok"))
    picture = {"type": "image_url", "image_url": {"url": provider.url("ok") + "/cat.png"}}
    assert await tokens(make_call("ok", tools=[TOOL])) > plain
    assert await tokens(make_call("ok", messages=[{"role": "user", "content": "word " * 20_000}])) > 19_000
    assert await tokens(make_call("ok", messages=[{"role": "user", "content": [picture]}])) > plain
    assert provider.requests == []


async def test_a_tokenizer_is_loaded_beside_the_event_loop_and_not_before_it_is_needed(
    gateway_for: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "_loaded", set())
    counting, threads = prices._estimate, []

    def counted(*given: Any) -> Usage:
        threads.append(threading.current_thread() is threading.main_thread())
        return counting(*given)

    monkeypatch.setattr(prices, "_estimate", counted)
    gateway = await gateway_for("ok")
    assert (prices._loaded, threads) == (set(), []), "a process without a broken stream has no tokenizer"
    await gateway.estimate(make_call("ok"))
    await gateway.estimate(make_call("ok"))
    assert threads == [False, True]


def demo(text: str, name: str = "demo") -> Deployment:
    return Deployment(f"{name}#1", name, {"model": "openai/gpt-4o", "mock_response": text}, {})


async def test_every_answer_that_was_asked_for_arrives_and_is_paid(gateway_for: Opener) -> None:
    gateway = await gateway_for("ok")
    answer = await gateway.complete(make_call("ok", n=3))
    assert [message.text for message in answer.messages] == [TEXT] * 3
    assert answer.usage.completion_tokens == 30
    assert answer.cost == 11 * 1_000 + 30 * 2_000
