"""What a provider answered, in our words. Pure functions: values of litellm in, ours out.

Tokens and prices of answers without usage are worked out in `prices.py`; streams are run in `streams.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.chat import Answer, Served, text_of
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.gateway.prices import PriceTag, said_cost
from control_plane.units import NanoUsd

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "guardrail_intervened": "content_filter",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}
"""Providers' words for why they ended; whatever is not here counts as `stop`."""


def finish_reason(said: str | None, *, has_tool_calls: bool) -> FinishReason:
    """Why the answer ended. Some providers say `stop` after tool calls; clients look for `tool_calls`."""
    reason = FINISH_REASONS.get((said or "stop").lower(), "stop")
    return "tool_calls" if reason == "stop" and has_tool_calls else reason


def usage_of(reported: Any) -> Usage | None:
    """The provider's tokens, or None when it counted none: LiteLLM fills in zeros where no usage came."""
    prompt_tokens = getattr(reported, "prompt_tokens", None) or 0
    completion_tokens = getattr(reported, "completion_tokens", None) or 0
    if not prompt_tokens and not completion_tokens:
        return None
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=_detail(reported, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(reported, "completion_tokens_details", "reasoning_tokens"),
    )


def _detail(reported: Any, details: str, name: str) -> int:
    return getattr(getattr(reported, details, None), name, None) or 0


def tool_calls_of(calls: Any) -> list[dict[str, Any]]:
    """Tool calls, whole or in pieces, as plain OpenAI dicts."""
    return [call.model_dump(exclude_none=True) for call in calls or ()]


def texts_of(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    """The text that tool calls cost tokens for: names and arguments."""
    functions = (call.get("function") or call.get("custom") or {} for call in calls)
    return [text for function in functions for key in ("name", "arguments", "input") if (text := function.get(key))]


def cost_of(response: Any, tag: PriceTag) -> NanoUsd | None:
    """What LiteLLM says a buffered answer cost; None if it does not say, or does not know."""
    cost = response._hidden_params.get("response_cost")  # noqa: SLF001  # the only place where LiteLLM says it
    return None if cost is None else said_cost(tag, cost)


def answer(response: Any, *, served: Served, usage: Usage, cost: NanoUsd | None) -> Answer:
    """A whole answer. Raises: IndexError, AttributeError for a response without choices."""
    choices = [choice_of(choice) for choice in response.choices]
    message = choices[0]["message"]
    return Answer(
        content=text_of(message),
        tool_calls=message.get("tool_calls", ()),
        finish_reason=choices[0]["finish_reason"],
        choices=choices,
        usage=usage,
        cost=cost,
        served=served,
    )


def choice_of(choice: Any) -> dict[str, Any]:
    """One of the answers that were asked for, as OpenAI writes it; lists, as of `tool_calls`, only where they are not empty."""
    dumped = choice.message.model_dump(exclude_none=True)
    specific = dumped.pop("provider_specific_fields", None) or {}
    said = {name: value for name, value in dumped.items() if value != []}
    if refusal := specific.get("refusal"):  # where LiteLLM puts it
        said["refusal"] = refusal
    calls = said.get("tool_calls")
    message = {**said, "role": "assistant", "content": choice.message.content}
    whole = {
        "index": choice.index,
        "message": message,
        "finish_reason": finish_reason(choice.finish_reason, has_tool_calls=bool(calls)),
    }
    logprobs = getattr(choice, "logprobs", None)
    return whole if logprobs is None else {**whole, "logprobs": plain(logprobs)}


def plain(value: Any) -> Any:
    """A value of litellm's as JSON data."""
    return value.model_dump() if hasattr(value, "model_dump") else value
