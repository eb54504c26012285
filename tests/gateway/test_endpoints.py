"""Endpoints that answer at once: the Router's answer, priced, reported and refused as chat completions are."""

from typing import Any

import pytest

from control_plane.chat import ChatRequest, EndpointRequest, ProviderCall, SpendReport
from control_plane.completion.usage import Usage
from control_plane.errors import LlmCallFailed
from control_plane.gateway.deployments import Deployment
from control_plane.ids import CallId, JobId, TeamId, new_id
from tests.gateway.conftest import Deploy, Opener
from tests.support.provider import Provider

PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 0, "mode": "embedding"}


def embed(*models: str, **arguments: Any) -> ProviderCall:
    texts = ["first", "second"]
    request = EndpointRequest("embeddings", {"input": texts, **arguments}, texts)
    return ProviderCall(CallId(new_id()), JobId(new_id()), TeamId("acme"), models, request)


@pytest.fixture
def embedding(deploy: Deploy) -> Deploy:
    def make(behaviour: str) -> Deployment:
        return deploy(behaviour, info=PRICES, model="openai/text-embedding-3-small")

    return make


async def test_embeddings_are_priced_and_reported(
    gateway_for: Opener, embedding: Deploy, reports: list[SpendReport], provider: Provider
) -> None:
    gateway = await gateway_for(embedding("ok"))
    call = embed("ok", dimensions=2)
    answer = await gateway.call_endpoint(call)
    assert [item["embedding"] for item in answer.body["data"]] == [[0.25, -0.5]] * 2
    assert (answer.usage, answer.cost) == (Usage(prompt_tokens=11), 11_000)
    assert answer.served.deployment_id == "ok#1"
    assert provider.seen("ok")[0].body["dimensions"] == 2
    await gateway.aclose()
    assert [(report.call_id, report.status, report.cost) for report in reports] == [(call.call_id, "success", 11_000)]


async def test_embeddings_fall_back_and_name_who_answered(gateway_for: Opener, embedding: Deploy) -> None:
    gateway = await gateway_for(embedding("e500"), embedding("ok"))
    answer = await gateway.call_endpoint(embed("e500", "ok"))
    assert answer.served.deployment_id == "ok#1"


async def test_embeddings_without_usage_are_counted(gateway_for: Opener, embedding: Deploy) -> None:
    gateway = await gateway_for(embedding("nousage"))
    answer = await gateway.call_endpoint(embed("nousage"))
    assert answer.usage == Usage(prompt_tokens=2, is_estimated=True)
    assert answer.cost == 2_000


async def test_what_one_deployment_says_of_its_model_is_not_true_of_another(
    gateway_for: Opener, deploy: Deploy
) -> None:
    """LiteLLM keeps it under the model's name, and so did the next deployment of that model."""
    priced = {name: PRICES[name] for name in ("input_cost_per_token", "output_cost_per_token")}
    for model, mode in (("openai/gpt-4o", "embedding"), ("openai/not-listed", "chat")):
        await gateway_for(deploy("ok", info={**priced, "mode": mode, "max_output_tokens": 5}, model=model))
    chats = await gateway_for(deploy("ok", info=priced, model="openai/gpt-4o"))
    unknown = await gateway_for(deploy("ok", info=priced, model="openai/not-listed"))
    assert not chats.takes(["ok"], EndpointRequest("embeddings", {}, []))
    assert unknown.takes(["ok"], EndpointRequest("embeddings", {}, []))
    free = ChatRequest([{"role": "user", "content": "hi"}])
    assert chats.estimate_usage(["ok"], free).max_tokens == 16_384
    assert unknown.estimate_usage(["ok"], free).max_tokens > 5


async def test_a_failure_is_one_of_ours(gateway_for: Opener, embedding: Deploy) -> None:
    gateway = await gateway_for(embedding("e500"))
    with pytest.raises(LlmCallFailed):
        await gateway.call_endpoint(embed("e500"))
