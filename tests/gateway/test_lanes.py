"""Both lanes say, send, cost and report the same: whatever a provider does, nobody can tell which one a call took."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest

from control_plane.chat import Completion, Lane, ProviderCall, ServedBy, SpendReport
from control_plane.completion.events import Content
from control_plane.completion.finish import Finish
from control_plane.completion.usage import Usage
from control_plane.errors import ProviderError
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.gateway.relay.eligibility import LanePolicy
from control_plane.gateway.router import Gateway
from control_plane.units import NanoUsd
from tests.gateway.conftest import Deploy, make_call
from tests.gateway.test_complete import TOOL
from tests.support.provider import Provider
from tests.support.provider_plans import PLANS

Json = dict[str, Any]

UNCOUNTED = {"nousage"}
"""Behaviours whose tokens nobody counts but we: LiteLLM leaves the tools out of a streamed prompt, and reports 0."""

BROKEN = {"errchunk", "rolebreak", "break0", "break4", "eof"}
"""Streams that break: LiteLLM reports them under names of its HTTP library, and some with the prompt they cost."""

UNLIKE = {
    "think": ("reasoning_tokens",),
    "kinds": ("cache_write_tokens", "audio_input_tokens", "audio_output_tokens"),
}
"""Kinds of tokens that only LiteLLM reports: it estimates those of streamed thoughts, and the relay does not read some."""

HOLDING = {"timeout", "hold", "hold0", "rolehold", "slow"}

BEHAVIOURS = sorted({*PLANS, "flaky1", "break0", "break4", "long200"} - HOLDING)


@dataclass(frozen=True)
class Streamed:
    """Everything of a stream that anybody can see."""

    said: Sequence[Content]
    failure: tuple[str, float | None] | None
    usage: Usage
    cost: NanoUsd | None
    finishes: Mapping[int, Finish]
    served: ServedBy


class Lanes:
    """A gateway for each lane over the same deployments."""

    def __init__(self, gateways: dict[Lane, Gateway], reports: dict[Lane, list[SpendReport]]) -> None:
        self.gateways = gateways
        self.reports = reports

    @classmethod
    async def over(cls, *deployments: Deployment, check_share: float = 0, **router: Any) -> "Lanes":
        config = RouterConfig(deployments, {"num_retries": 0, **router}, {"drop_params": True})
        reports: dict[Lane, list[SpendReport]] = {"relay": [], "litellm": []}
        policies: dict[Lane, LanePolicy] = {
            "relay": LanePolicy("auto", check_share),
            "litellm": LanePolicy("litellm"),
        }
        gateways = {
            lane: await open_gateway(config, reports[lane].append, lanes=policy) for lane, policy in policies.items()
        }
        return cls(gateways, reports)

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self.gateways.values())

    async def aclose(self) -> None:
        for gateway in self:
            await gateway.aclose()

    def reported(self, lane: Lane, *, without: Sequence[str] = ()) -> list[Json]:
        """What was reported, but for when, for what names the lane, and for who counted: LiteLLM does not say."""
        left_out = {"id", "call_id", "request_id", "started_at", "ended_at", "lane", "usage", "is_estimated", *without}
        rows = [asdict(report) | asdict(report.usage) for report in self.reports[lane]]
        found = [{name: value for name, value in row.items() if name not in left_out} for row in rows]
        return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


async def completed(gateway: Gateway, call: ProviderCall) -> Completion | tuple[str, float | None]:
    try:
        answer = await gateway.complete(call)
    except ProviderError as error:
        return error.code, error.retry_after_s
    return replace(answer, served=replace(answer.served, lane="litellm"))


async def streamed(gateway: Gateway, call: ProviderCall) -> Streamed | tuple[str, float | None]:
    try:
        stream = await gateway.stream(call)
    except ProviderError as error:
        return error.code, error.retry_after_s
    said: list[Content] = []
    failure = None
    try:
        async for events in stream:
            said += events  # what came before a failure counts, too
    except ProviderError as error:
        failure = (error.code, error.retry_after_s)
    await stream.aclose()
    usage, cost = await stream.settle()
    return Streamed(said, failure, usage, cost, stream.finishes(), replace(stream.served, lane="litellm"))


def without_estimates(result: object) -> object:
    """A stream without what LiteLLM estimates in its own way: the prompt where nobody counted it, tokens of thoughts."""
    if not isinstance(result, Streamed):
        return result
    usage, cost = replace(result.usage, reasoning_tokens=0), result.cost
    if usage.is_estimated:
        usage, cost = replace(usage, prompt_tokens=0), None
    return replace(result, usage=usage, cost=cost)


@pytest.mark.parametrize(
    ("behaviour", "is_stream"),
    [(name, is_stream) for name in BEHAVIOURS for is_stream in (False, True)],
)
async def test_whatever_the_provider_does_both_lanes_are_alike(
    deploy: Deploy, provider: Provider, behaviour: str, *, is_stream: bool
) -> None:
    # given one that falls back, too; but for a body that is no stream, which to LiteLLM is an empty, successful answer
    lanes = await Lanes.over(deploy(behaviour), deploy("ok"))
    asked = [make_call(behaviour), make_call(behaviour, tools=[TOOL])]
    if not (behaviour == "garbage" and is_stream):
        asked.append(make_call(behaviour, "ok"))
    # when
    told = []
    for gateway in lanes:
        results = [await (streamed if is_stream else completed)(gateway, call) for call in asked]
        told.append(([without_estimates(result) for result in results], [each.body for each in provider.requests]))
        provider.requests.clear()
    await lanes.aclose()
    # then
    assert told[0] == told[1]
    counts = ("cost", "prompt_tokens", "completion_tokens")
    without = {**dict.fromkeys(UNCOUNTED, counts), **dict.fromkeys(BROKEN, (*counts, "error_class")), **UNLIKE}
    left_out = without.get(behaviour, ())
    if behaviour != "garbage":
        assert lanes.reported("relay", without=left_out) == lanes.reported("litellm", without=left_out)


async def test_a_body_that_is_no_stream_falls_back_when_relayed(deploy: Deploy) -> None:
    lanes = await Lanes.over(deploy("garbage"), deploy("ok"))
    result = await streamed(lanes.gateways["relay"], make_call("garbage", "ok"))
    await lanes.aclose()
    assert isinstance(result, Streamed)
    assert result.served.deployment_id == "ok#1"


ASKED: list[Json] = [
    {"temperature": 0.7, "max_tokens": 20, "top_p": 0.5, "seed": 1},
    {"n": 2, "stop": ["END"], "frequency_penalty": 0.1, "presence_penalty": -0.1},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
    {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
    {"logprobs": True, "top_logprobs": 2, "logit_bias": {"50256": -100}},
    {"reasoning_effort": "low"},
]
CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES: list[Json] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "a", "content": "done"},
]
MODELS = [
    *("openai/gpt-4o", "openai/o3", "openai/gpt-5", "openai/mine", "hosted_vllm/mine", "openrouter/openai/gpt-4o"),
    *("deepseek/deepseek-chat", "together_ai/mine", "deepinfra/mine", "cerebras/mine", "sambanova/mine"),
    *("nvidia_nim/mine", "nebius/mine", "lm_studio/mine", "llamafile/mine"),
]
OUR_HEADERS = ("authorization", "content-type", "x-team", "http-referer", "x-title")


@pytest.mark.parametrize("model", MODELS)
async def test_every_provider_is_asked_the_same(deploy: Deploy, provider: Provider, model: str) -> None:
    lanes = await Lanes.over(deploy("ok", model=model, max_tokens=50, extra_headers={"X-Team": "ours"}))
    told = []
    for gateway in lanes:
        calls = [make_call("ok", messages=MESSAGES, **asked) for asked in ASKED]
        results = [await ask(gateway, call) for call in calls for ask in (completed, streamed)]
        headers = [{name: each.headers.get(name) for name in OUR_HEADERS} for each in provider.requests]
        bodies = [each.body for each in provider.requests]
        told.append(([without_estimates(result) for result in results], headers, bodies))
        provider.requests.clear()
    await lanes.aclose()
    assert told[0] == told[1]
    can_count = all("stream_options" in body for body in told[0][2] if body.get("stream"))
    left_out = () if can_count else ("cost", "prompt_tokens")
    assert lanes.reported("relay", without=left_out) == lanes.reported("litellm", without=left_out)
    assert {report.lane for report in lanes.reports["litellm"]} == {"litellm"}
    assert "relay" in {report.lane for report in lanes.reports["relay"]}


@pytest.mark.parametrize(("behaviour", "failures"), [("e429", 1), ("e401", 1), ("e404", 1), ("e500", 10), ("e400", 10)])
async def test_a_deployment_that_fails_cools_down_by_the_same_rules(
    deploy: Deploy, provider: Provider, behaviour: str, failures: int
) -> None:
    # given two deployments of one name, of which one fails
    bad, good = replace(deploy(behaviour), model_name="both"), replace(deploy("ok"), model_name="both")
    cooled = []
    for lane in ("relay", "litellm"):
        lanes = await Lanes.over(bad, good, cooldown_time=60, allowed_fails=3)
        gateway = lanes.gateways["relay" if lane == "relay" else "litellm"]
        tries = 0
        while provider.count(behaviour) < failures and tries < 60:
            tries += 1
            await completed(gateway, make_call("both"))
        provider.requests.clear()
        for _ in range(12):
            await completed(gateway, make_call("both"))
        cooled.append(provider.count(behaviour) == 0)
        provider.requests.clear()
        await lanes.aclose()
    assert cooled[0] == cooled[1] == (behaviour != "e400")


PRICES: list[tuple[str, Json]] = [
    ("cached", {"input_cost_per_token": 3e-6, "output_cost_per_token": 7e-6, "cache_read_input_token_cost": 1e-7}),
    ("cached", {}),
    ("ok", {"base_model": "gpt-4-turbo"}),
    ("ok", {"input_cost_per_token": 0, "output_cost_per_token": 0}),
]


@pytest.mark.parametrize(("behaviour", "info"), PRICES)
async def test_what_is_checked_costs_what_litellm_says(deploy: Deploy, behaviour: str, info: Json) -> None:
    lanes = await Lanes.over(deploy(behaviour, info=info), check_share=1)
    costs = []
    for gateway in lanes:
        answer, stream = await completed(gateway, make_call(behaviour)), await streamed(gateway, make_call(behaviour))
        assert isinstance(answer, Completion)
        assert isinstance(stream, Streamed)
        costs += [answer.cost, stream.cost]
    await lanes.aclose()
    assert len(set(costs)) == 1
    assert {report.cost for lane in lanes.reports for report in lanes.reports[lane]} == {costs[0]}
