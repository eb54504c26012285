"""A relayed body as an Answer: picked apart here when it is a usual one, by LiteLLM when anything about it is not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from control_plane.chat import Answer, ChatRequest, text_of
from control_plane.completion.usage import Usage
from control_plane.gateway import chunks, prices
from control_plane.gateway.chunks import finish_reason, texts_of, usage_of
from control_plane.gateway.relay_targets import Target
from control_plane.units import NanoUsd

USUAL = frozenset({"role", "content", "tool_calls", "refusal", "annotations", "audio", "function_call"})
"""Fields of a message; the last four may only be empty."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider said of its answer: its name for it, its model's, and what it counted."""

    id: str = ""
    model: str = ""
    usage: Json | None = None

    @classmethod
    def of(cls, body: Json) -> Self:
        """As a body or a piece of a stream has it."""
        return cls(str(body.get("id") or ""), str(body.get("model") or ""), body.get("usage"))


async def answer_of(target: Target, request: ChatRequest, body: Any) -> Answer:
    """The answer, priced. Raises: what LiteLLM raises for a body that is none."""
    choices = usual_choices(body)
    if choices is None:
        choices = [chunks.choice_of(choice) for choice in _modelled(body).choices]
    usage, cost = await _settled(target, request, body.get("usage"), choices)
    message = choices[0]["message"]
    return Answer(
        content=text_of(message),
        tool_calls=message.get("tool_calls", ()),
        finish_reason=choices[0]["finish_reason"],
        choices=choices,
        usage=usage,
        cost=cost,
        served=target.serving.served,
    )


def usual_choices(body: Any) -> list[dict[str, Any]] | None:
    """Choices in OpenAI's shape; None when LiteLLM must look at them: thoughts among the text, sounds, errors, surprises."""
    if not isinstance(body, dict) or body.get("error") or not isinstance(body.get("choices"), list):
        return None
    choices = [_usual(choice) for choice in body["choices"]]
    return [choice for choice in choices if choice] if choices and all(choices) else None


def _usual(choice: Any) -> dict[str, Any] | None:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or message.keys() - USUAL or any(message.get(name) for name in _RARE):
        return None
    content, calls = message.get("content"), message.get("tool_calls")
    if not isinstance(content, str | None) or (content and ("<think" in content or content.lstrip().startswith("{"))):
        return None
    said: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        if not all(_is_usual_call(call) for call in calls):
            return None
        said["tool_calls"] = calls
    reason = finish_reason(choice.get("finish_reason"), has_tool_calls=bool(calls))
    whole = {"index": choice.get("index") or 0, "message": said, "finish_reason": reason}
    logprobs = choice.get("logprobs")
    return whole if logprobs is None else {**whole, "logprobs": logprobs}


_RARE = ("refusal", "annotations", "audio", "function_call")


def _is_usual_call(call: Any) -> bool:
    if not isinstance(call, dict) or call.keys() != {"id", "type", "function"} or call["type"] != "function":
        return False
    function = call["function"]
    return (
        isinstance(function, dict)
        and function.keys() == {"name", "arguments"}
        and all(isinstance(text, str) for text in function.values())
    )


def _modelled(body: Any) -> Any:
    """LiteLLM's own reading of a body. Raises: its exceptions."""
    import litellm  # noqa: PLC0415  # see library.py
    from litellm.litellm_core_utils.llm_response_utils.convert_dict_to_response import (  # noqa: PLC0415
        convert_to_model_response_object,
    )

    return convert_to_model_response_object(
        response_object=body, model_response_object=litellm.ModelResponse(), hidden_params={}, _response_headers={}
    )


async def _settled(
    target: Target, request: ChatRequest, reported: Json | None, choices: list[dict[str, Any]]
) -> tuple[Usage, NanoUsd | None]:
    """What it used and cost: the provider's tokens, else ours."""
    usage, cost = priced(target, reported)
    if usage is not None:
        return usage, cost
    messages = [choice["message"] for choice in choices]
    texts = [
        text for message in messages for text in (text_of(message) or "", *texts_of(message.get("tool_calls", ())))
    ]
    usage = await prices.estimate(target.serving.tag, request, texts)
    return usage, prices.cost_of_tokens(target.serving.tag, usage)


def priced(target: Target, reported: Json | None) -> tuple[Usage | None, NanoUsd | None]:
    """The provider's tokens and what LiteLLM says they cost; None for tokens that it did not count."""
    import litellm  # noqa: PLC0415  # see library.py

    if not reported:
        return None, None
    counted = litellm.Usage(**reported)
    usage = usage_of(counted)
    said = reported.get("cost") if target.provider == "openrouter" else None  # LiteLLM goes by what OpenRouter says
    if usage is None or said is None:
        return usage, None if usage is None else prices.cost(target.serving.tag, counted)
    return usage, prices.money(said)
