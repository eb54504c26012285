"""Looks up a deployment's prices, and counts tokens and prices usage where the provider or LiteLLM did not: broken
streams, answers without usage.

The price list is LiteLLM's. The key is the deployment id where the YAML gives prices, else the model: under the id of a
deployment without prices LiteLLM would silently use a price of zero.
"""

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

import orjson

from control_plane.chat import ChatRequest, EndpointRequest, ModelRequest, Rate
from control_plane.completion.usage import Usage
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.pricing.endpoint_prices import PlainPrice, plain_price
from control_plane.gateway.pricing.price_list import listed_under
from control_plane.gateway.pricing.price_names import is_price
from control_plane.gateway.pricing.rates import money, rate_of
from control_plane.units import NanoUsd

__all__ = ["PriceTag", "cost_of", "estimate", "litellms_cost", "money", "price_tag", "said_cost"]

log = logging.getLogger(__name__)

LONG_TEXT = 5_000
"""Characters from which the tokenizer runs in a thread: 0.5 to 5 ms, at 1 to 10 characters per microsecond."""

MOST_COUNTED = 100_000
"""Characters of the prompt, and of the answer, that are counted; longer ones are sampled: a client that leaves a
thousand streams of a million characters each would keep the processors busy for minutes.
"""

SAMPLES = 20

PIECE = 20_000
"""Characters that a tokenizer gets at once: text without blanks takes it the square of its length."""

CHARACTERS_PER_TOKEN = 4
"""For text the tokenizer refuses."""

BRIDGE = "responses/"
"""Prefix of models that LiteLLM calls through OpenAI's Responses API. The price is the model's."""


@dataclass(frozen=True, slots=True)
class PriceTag:
    """The key of a deployment's price in LiteLLM, and the model whose tokenizer counts for it.

    `mode`: what its model is for (`chat`, `embedding`), where given. `plain`: its three prices, where LiteLLM
    calculates with no more.
    """

    model: str
    provider: str
    tokenizer_model: str
    rate: Rate = field(default_factory=Rate)
    mode: str | None = None
    plain: PlainPrice | None = None


def price_tag(deployment: Deployment) -> PriceTag:
    """The tag of one deployment. Raises: litellm's BadRequestError for a model of no known provider."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    model = str(deployment.params["model"])
    name, provider, *_ = litellm.get_llm_provider(
        model=model,
        custom_llm_provider=deployment.params.get("custom_llm_provider"),
        api_base=deployment.params.get("api_base"),
    )
    name = name.removeprefix(BRIDGE)
    model = model.replace(f"/{BRIDGE}", "/", 1).removeprefix(BRIDGE)
    base = deployment.info.get("base_model") or deployment.params.get("base_model")
    listed = _listed(litellm, str(base or model), provider)
    limit = deployment.info.get("max_output_tokens") or listed.get("max_output_tokens")
    mode = deployment.info.get("mode") or listed.get("mode")
    has_own = any(is_price(key) and value is not None for key, value in deployment.info.items())
    info = {**_geography(listed), **deployment.info} if has_own else listed
    rate = rate_of(info, limit=limit, mode=mode, model=f"{provider}/{base or name}", params=deployment.params)
    tag = PriceTag(deployment.id if has_own else str(base or model), provider, name, rate, mode)
    return replace(tag, plain=plain_price(info, partial(_tried, tag)))


def _listed(litellm: Any, model: str, provider: str) -> Mapping[str, Any]:
    """LiteLLM's list entry of a model; empty for an unknown one. Prices that LiteLLM makes up, 0 for those that are not
    listed, are left out.
    """
    try:
        known: Mapping[str, Any] = litellm.get_model_info(model, custom_llm_provider=provider)
    except Exception:  # noqa: BLE001  # LiteLLM raises a bare Exception
        return {}
    entry = litellm.model_cost.get(known.get("key")) or {}
    info = {**entry, **{name: value for name, value in known.items() if value or not is_price(name) or name in entry}}
    if not entry:  # a model that LiteLLM prices by its family
        return info
    listed = listed_under(str(known["key"]))
    return {**info, "mode": listed and listed.mode, "max_output_tokens": listed and listed.max_output_tokens}


def _geography(listed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Factors of a model's prices by region, which a deployment's own prices do not replace."""
    return {name: value for name, value in listed.items() if "multiplier" in name or name == "provider_specific_entry"}


def said_cost(tag: PriceTag, dollars: float) -> NanoUsd | None:
    """LiteLLM's cost of an answer, or None when its 0 only means an unknown price."""
    return money(dollars) if dollars or tag.rate.is_known else None


def cost_of(tag: PriceTag, usage: Usage) -> NanoUsd | None:
    """The price of a usage, each kind of its tokens at its own, in the tier that served it. None: unknown."""
    plain = tag.plain.of(usage) if tag.plain else None
    if plain is not None:
        return plain
    try:
        return litellms_cost(tag, usage)
    except Exception:
        log.exception("price_missing", extra={"model": tag.model})
        return None


def litellms_cost(tag: PriceTag, usage: Usage) -> NanoUsd | None:
    """The same, as LiteLLM calculates it. Raises: what LiteLLM does, of an unknown model.

    LiteLLM silently calculates 0 for tokens without a price: that is not a price.
    """
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    parts = litellm.cost_per_token(
        model=tag.model,
        custom_llm_provider=tag.provider,
        usage_object=litellm.Usage(**usage_json(usage)),
        service_tier=usage.service_tier,
    )
    return said_cost(tag, sum(parts))


def _tried(tag: PriceTag, usage: Usage) -> NanoUsd | None:
    try:
        return litellms_cost(tag, usage)
    except Exception:  # noqa: BLE001  # a model unknown to LiteLLM is reported where it is used
        return None


def usage_json(usage: Usage) -> dict[str, Any]:
    """A usage in the form that LiteLLM reads; kinds that are not there are left out."""
    said: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    inputs: dict[str, Any] = {
        "cached_tokens": usage.cached_tokens,
        "audio_tokens": usage.audio_input_tokens,
        "image_tokens": usage.image_input_tokens,
        "cache_creation_tokens": usage.cache_write_tokens,
    }
    if usage.cache_write_1h_tokens:
        inputs["cache_creation_token_details"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    outputs = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.audio_output_tokens,
        "image_tokens": usage.image_output_tokens,
    }
    for name, details in (("prompt_tokens_details", inputs), ("completion_tokens_details", outputs)):
        if present := {kind: count for kind, count in details.items() if count}:
            said[name] = present
    return said


_loaded: set[str] = set()
"""Models whose tokenizers were used in this process."""


async def estimate(tag: PriceTag, request: ModelRequest, texts: Sequence[str]) -> Usage:
    """Tokens of the request and of the texts answered so far, counted by us. The first time in a thread: a tokenizer takes
    up to a second to load, and 70 MB, which a process has only from then on.
    """
    length = sum(map(len, texts)) + _length_of(request)
    if length <= LONG_TEXT and tag.tokenizer_model in _loaded:
        return _estimate(tag, request, texts)
    counted = await asyncio.to_thread(_estimate, tag, request, texts)
    _loaded.add(tag.tokenizer_model)
    return counted


def _length_of(request: ModelRequest) -> int:
    if isinstance(request, EndpointRequest):
        return sum(len(text) for text in request.texts)
    texts = sum(len(text) for message in request.messages for text in _texts_of(message))
    return texts + _unsampled_length(request)


def _unsampled_length(request: ChatRequest) -> int:
    """Characters of what is counted beside texts: arguments of tool calls, and the tools."""
    calls = [message["tool_calls"] for message in request.messages if message.get("tool_calls")]
    tools = request.parameters.get("tools")
    return sum(len(orjson.dumps(each)) for each in (*calls, tools) if each)


def _estimate(tag: PriceTag, request: ModelRequest, answered: Sequence[str]) -> Usage:
    return Usage(
        prompt_tokens=(
            _texts_tokens(tag, request.texts) if isinstance(request, EndpointRequest) else _prompt_tokens(tag, request)
        ),
        completion_tokens=_whole_tokens(tag, answered),
        is_estimated=True,
    )


def _prompt_tokens(tag: PriceTag, request: ChatRequest) -> int:
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    if (unsampled := _unsampled_length(request)) > MOST_COUNTED:
        tools = unsampled // CHARACTERS_PER_TOKEN
        bare = [{**message, "tool_calls": None} for message in request.messages]
        return tools + _prompt_tokens(tag, ChatRequest(bare, {**request.parameters, "tools": None}))
    texts = [text for message in request.messages for text in _texts_of(message)]
    is_long = sum(map(len, texts)) > PIECE
    try:
        counted = int(
            litellm.token_counter(
                model=tag.tokenizer_model,
                messages=[_without_text(message) if is_long else dict(message) for message in request.messages],
                tools=request.parameters.get("tools"),
                tool_choice=request.parameters.get("tool_choice"),
                use_default_image_token_count=True,  # else it fetches the picture to measure it
            )
        )
        return counted + _whole_tokens(tag, texts) if is_long else counted
    except Exception:  # noqa: BLE001  # a count may be rough but must not fail a call that was answered
        log.warning("tokens_estimated", extra={"model": tag.tokenizer_model})
        return _length_of(request) // CHARACTERS_PER_TOKEN


def _without_text(message: Mapping[str, Any]) -> dict[str, Any]:
    """Other token costs in a message: pictures, calls of tools, its role."""
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in content if not (isinstance(part, dict) and isinstance(part.get("text"), str))]
    elif isinstance(content, str):
        content = ""
    return {**message, "content": content}


def _texts_of(message: Mapping[str, Any]) -> Iterable[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def sample(texts: Sequence[str], length: int) -> str:
    """So many characters of one text in these pieces, from all over it. A long one is not joined for that."""
    total = sum(map(len, texts))
    if length >= total:
        return "".join(texts)
    size = max(1, length // SAMPLES)
    count = max(1, length // size)
    ends = list(accumulate(map(len, texts)))
    return "".join(_cut(texts, ends, total * number // count, size) for number in range(count))


def _cut(texts: Sequence[str], ends: Sequence[int], start: int, size: int) -> str:
    """So many characters from there on, in pieces that end there."""
    first, last = bisect_right(ends, start), bisect_left(ends, start + size)
    skipped = start - (ends[first] - len(texts[first]))
    return "".join(texts[first : last + 1])[skipped : skipped + size]


def _texts_tokens(tag: PriceTag, texts: Sequence[str]) -> int:
    """Of very many, as of one text."""
    is_long = sum(map(len, texts)) > MOST_COUNTED
    return _whole_tokens(tag, texts) if is_long else sum(_text_tokens(tag, text) for text in texts)


def _whole_tokens(tag: PriceTag, texts: Sequence[str]) -> int:
    """Of one text in pieces. Of a very long one, those of samples of it, times as many as it is longer."""
    total = sum(map(len, texts))
    if total <= MOST_COUNTED:
        return _text_tokens(tag, "".join(texts))
    sampled = sample(texts, MOST_COUNTED)
    return -(-_text_tokens(tag, sampled) * total // len(sampled))


def _text_tokens(tag: PriceTag, text: str) -> int:
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    if not text:
        return 0
    if len(text) > MOST_COUNTED:
        return _whole_tokens(tag, [text])
    if len(text) > PIECE:
        return sum(_text_tokens(tag, text[begin : begin + PIECE]) for begin in range(0, len(text), PIECE))
    try:
        return int(litellm.token_counter(model=tag.tokenizer_model, text=text, count_response_tokens=True))
    except Exception:  # noqa: BLE001  # as above
        log.warning("tokens_estimated", extra={"model": tag.tokenizer_model})
        return -(-len(text) // CHARACTERS_PER_TOKEN)
