"""The endpoints with a single response, beside chat completions: the Router's request and its response in our types."""

from collections.abc import Mapping
from typing import Any

from control_plane.chat import Endpoint, EndpointRequest, EndpointResponse, ServedBy
from control_plane.completion.usage import Usage
from control_plane.gateway.documents_of import plain
from control_plane.gateway.pricing.prices import PriceTag, estimate, money, said_cost
from control_plane.gateway.pricing.prices import cost_of as price_of
from control_plane.gateway.reading.usage import ReportedUsage
from control_plane.units import NanoUsd

METHODS: Mapping[Endpoint, str] = {
    "embeddings": "aembedding",
    "rerank": "arerank",
    "moderations": "amoderation",
    "ocr": "aocr",
}
"""The Router's methods."""

MODES: Mapping[Endpoint, str] = {
    "embeddings": "embedding",
    "rerank": "rerank",
    "moderations": "moderation",
    "ocr": "ocr",
}
"""The modes of their models in LiteLLM's list."""


def plain_answer(
    request: EndpointRequest, response: Any, *, served: ServedBy, usage: Usage, tag: PriceTag
) -> EndpointResponse:
    """The response with LiteLLM's cost, else that of the price list."""
    hidden = getattr(response, "_hidden_params", None) or {}
    return EndpointResponse(
        body=_moderated(plain(response)) if request.endpoint == "moderations" else plain(response),
        usage=usage,
        cost=_cost(request, hidden.get("response_cost"), usage, tag),
        served=served,
    )


async def usage_of(tag: PriceTag, request: EndpointRequest, response: Any) -> Usage:
    """The provider's count, else ours."""
    reported = ReportedUsage()
    reported.take(plain(getattr(response, "usage", None)))
    prompt_tokens = reported.prompt_tokens()
    if prompt_tokens is None:
        return await estimate(tag, request, ())
    completion_tokens = reported.completion_tokens(has_content=False) or 0
    return reported.usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, is_estimated=False)


def cost_of(response: Any, tag: PriceTag) -> NanoUsd | None:
    """LiteLLM's cost of a buffered answer; None if it has none or an unknown one."""
    cost = response._hidden_params.get("response_cost")  # noqa: SLF001  # LiteLLM's only place for it
    return None if cost is None else said_cost(tag, cost)


def _moderated(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The provider's original response: LiteLLM writes `self_harm` for `self-harm`, and nulls for missing fields."""
    from openai.types.moderation import Categories  # noqa: PLC0415  # litellm has loaded it

    names = {name: field.alias or name for name, field in Categories.model_fields.items()}

    def said(result: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            field: {names.get(name, name): judged for name, judged in value.items() if judged is not None}
            if isinstance(value, dict)
            else value
            for field, value in result.items()
            if value is not None
        }

    return {**body, "results": [said(result) for result in body["results"]]}


def _cost(request: EndpointRequest, said: float | None, usage: Usage, tag: PriceTag) -> NanoUsd | None:
    if said:
        return money(said)
    tokens = price_of(tag, usage)
    return None if tokens is None else NanoUsd(tokens + request.units * tag.rate.unit)
