"""Counts tokens and prices usage where the provider or LiteLLM did not: broken streams, answers without usage.

The price list is LiteLLM's. It is asked by deployment id where the YAML gives prices, and by model where it does not:
under the id of a deployment without prices LiteLLM would find one of zero and say nothing.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.chat import CallRequest, ChatRequest, PlainRequest, Rate
from control_plane.completion.usage import Usage
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.file_tokens import is_file, without_data
from control_plane.gateway.price_list import listed_under
from control_plane.gateway.price_names import is_price
from control_plane.gateway.rates import money, rate_of
from control_plane.units import NanoUsd

__all__ = ["PriceTag", "cost", "cost_of", "estimate", "money", "price_tag", "said_cost", "warm_up"]

log = logging.getLogger(__name__)

LONG_TEXT = 20_000
"""Characters from which the tokenizer runs in a thread: about 2 ms, counted at 10 characters per microsecond."""

CHARACTERS_PER_TOKEN = 4
"""For text the tokenizer refuses."""

PIECE = 20_000
"""Characters that a tokenizer gets at once."""
COUNTED_FOR_S = 5.0
TOKENS_PER_MESSAGE, TOKENS_PER_IMAGE = 3, 250
"""As LiteLLM counts them."""

BRIDGE = "responses/"
"""In a model's name: LiteLLM asks OpenAI's Responses API for it. Its price is the model's."""


@dataclass(frozen=True, slots=True)
class PriceTag:
    """Where LiteLLM finds the price of a deployment, and the model whose tokenizer counts for it.

    `mode`: what its model is for (`chat`, `embedding`), where somebody says so.
    """

    model: str
    provider: str
    tokenizer_model: str
    rate: Rate = field(default_factory=Rate)
    mode: str | None = None


def price_tag(deployment: Deployment) -> PriceTag:
    """The tag of one deployment. Raises: litellm's BadRequestError for a model of no known provider."""
    import litellm  # noqa: PLC0415  # see library.py

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
    rate = rate_of(
        {**_geography(listed), **deployment.info} if has_own else listed,
        limit=limit,
        mode=mode,
        model=f"{provider}/{base or name}",
        params=deployment.params,
    )
    return PriceTag(deployment.id if has_own else str(base or model), provider, name, rate, mode)


def _listed(litellm: Any, model: str, provider: str) -> Mapping[str, Any]:
    """What LiteLLM's list says of a model; nothing of one it does not know. Prices that LiteLLM makes up, 0 for those
    that are not listed, are left out.
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
    """What multiplies the prices of a model by region, which a deployment's own prices do not replace."""
    return {name: value for name, value in listed.items() if "multiplier" in name or name == "provider_specific_entry"}


def cost(tag: PriceTag, reported: Any, *, service_tier: str | None = None) -> NanoUsd | None:
    """The price of LiteLLM's `Usage`, with cached and reasoning tokens. None when nobody knows it.

    LiteLLM calculates 0 for tokens that have no price, without a word: that is not a price.
    """
    import litellm  # noqa: PLC0415  # see library.py

    try:
        parts = litellm.cost_per_token(
            model=tag.model, custom_llm_provider=tag.provider, usage_object=reported, service_tier=service_tier
        )
    except Exception:
        log.exception("price_missing", extra={"model": tag.model})
        return None
    return said_cost(tag, sum(parts))


def said_cost(tag: PriceTag, dollars: float) -> NanoUsd | None:
    """What LiteLLM said an answer costs, or None when its 0 only means that it knows no price."""
    return money(dollars) if dollars or tag.rate.is_known else None


def cost_of(tag: PriceTag, usage: Usage) -> NanoUsd | None:
    """The price of a usage, each kind of its tokens at its own, in the tier that served it. None when nobody knows it."""
    import litellm  # noqa: PLC0415  # see library.py

    return cost(tag, litellm.Usage(**usage_json(usage)), service_tier=usage.service_tier)


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


def warm_up(tags: Iterable[PriceTag]) -> None:
    """Loads the tokenizers, which takes up to a second each and would otherwise stop the event loop. Blocks."""
    for tag in {tag.tokenizer_model: tag for tag in tags}.values():
        _text_tokens(tag, "warm")


async def estimate(tag: PriceTag, request: CallRequest, texts: Sequence[str]) -> Usage:
    """Tokens of the request and of the texts answered so far, counted by us."""
    answered = "".join(texts)
    length = len(answered) + _length_of(request)
    if length > LONG_TEXT:
        return await asyncio.to_thread(_estimate, tag, request, answered)
    return _estimate(tag, request, answered)


def _length_of(request: CallRequest) -> int:
    if isinstance(request, PlainRequest):
        return sum(len(text) for text in request.texts)
    return sum(len(str(message.get("content"))) for message in request.messages)


def _estimate(tag: PriceTag, request: CallRequest, answered: str) -> Usage:
    return Usage(
        prompt_tokens=(
            sum(_text_tokens(tag, text) for text in request.texts)
            if isinstance(request, PlainRequest)
            else _prompt_tokens(tag, request)
        ),
        completion_tokens=_text_tokens(tag, answered),
        is_estimated=True,
    )


def _prompt_tokens(tag: PriceTag, request: ChatRequest) -> int:
    import litellm  # noqa: PLC0415  # see library.py

    text = "\n".join(_texts_of([*request.messages, request.parameters.get("tools")]))
    if len(text) > LONG_TEXT:
        parts = (message.get("content") for message in request.messages)
        files = sum(is_file(part) for content in parts if isinstance(content, list) for part in content)
        return _text_tokens(tag, text) + TOKENS_PER_MESSAGE * len(request.messages) + TOKENS_PER_IMAGE * files
    try:
        return int(
            litellm.token_counter(
                model=tag.tokenizer_model,
                messages=[dict(message) for message in request.messages],
                tools=request.parameters.get("tools"),
                tool_choice=request.parameters.get("tool_choice"),
                use_default_image_token_count=True,  # else it fetches the picture to measure it
            )
        )
    except Exception:  # noqa: BLE001  # a count may be rough but must not fail a call that was answered
        log.warning("tokens_guessed", extra={"model": tag.tokenizer_model})
        return _length_of(request) // CHARACTERS_PER_TOKEN


def _text_tokens(tag: PriceTag, text: str) -> int:
    """Counted piece by piece: text without blanks takes a tokenizer the square of its length. What is not counted within
    `COUNTED_FOR_S` is guessed.
    """
    deadline = time.monotonic() + COUNTED_FOR_S
    tokens = 0
    for begin in range(0, len(text), PIECE):
        if begin and time.monotonic() > deadline:
            log.warning("tokens_guessed", extra={"model": tag.tokenizer_model})
            return tokens - (begin - len(text)) // CHARACTERS_PER_TOKEN
        tokens += _piece_tokens(tag, text[begin : begin + PIECE])
    return tokens


def _texts_of(values: Iterable[Any]) -> Iterator[str]:
    """The texts in messages and tools, but for the data of files."""
    waiting = list(values)[::-1]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if not value.startswith("data:"):
                yield value
        elif isinstance(value, Mapping):
            if is_file(value):
                value = without_data(value)
            waiting.extend(reversed(list(value.values() if isinstance(value, Mapping) else value or ())))
        elif isinstance(value, list | tuple):
            waiting.extend(reversed(value))


def _piece_tokens(tag: PriceTag, text: str) -> int:
    import litellm  # noqa: PLC0415  # see library.py

    if not text:
        return 0
    try:
        return int(litellm.token_counter(model=tag.tokenizer_model, text=text, count_response_tokens=True))
    except Exception:  # noqa: BLE001  # as above
        log.warning("tokens_guessed", extra={"model": tag.tokenizer_model})
        return -(-len(text) // CHARACTERS_PER_TOKEN)
