"""The most that a call may use, before it is made: counted from its bytes, without a tokenizer. Pure.

Everything that is sent counts: every string of every message and parameter, and the names in them. Files are counted
apart (`file_tokens.py`), since their data is not read as text. Four bytes of ordinary text are a token, the likely
usage of a prompt; `text_size.py` has the upper bound.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from control_plane.chat import ChatRequest, EndpointRequest, ModelRequest, Rate, UsageEstimate
from control_plane.gateway.file_tokens import TOKENS_PER_FILE, file_tokens, is_file, without_data
from control_plane.gateway.json_schemas import referred_parts, schemas_of
from control_plane.gateway.pricing.rates import at_tier, dearest
from control_plane.gateway.text_size import LIKELY_BYTES_PER_TOKEN, size_of

__all__ = ["TOKENS_PER_FILE", "TOKENS_PER_MESSAGE", "dearest", "estimate_usage"]

TOKENS_PER_MESSAGE = 8
"""Role, separators, name."""
TOKENS_FOR_TOOLS = 1_000
"""Tokens that a provider adds to a prompt with tools or a schema of the answer, to explain them to the model."""
THINKING_ANSWER = 4_096
"""LiteLLM's limit for an answer beside requested thinking, where its length is not set."""


def estimate_usage(request: ModelRequest, rate: Rate) -> UsageEstimate:
    """The worst case of a request at the dearest of its models. An answer is as long as requested, or as the model
    allows; an endpoint with a single response writes none.
    """
    return _plain_demand(request, rate) if isinstance(request, EndpointRequest) else _chat_demand(request, rate)


def _plain_demand(request: EndpointRequest, rate: Rate) -> UsageEstimate:
    size = size_of(request.texts)
    return UsageEstimate(
        prompt_tokens=TOKENS_PER_MESSAGE * len(request.texts) + size.worst_tokens,
        expected_prompt_tokens=len(request.texts) + size.bytes // LIKELY_BYTES_PER_TOKEN,
        units=request.units,
        rate=rate,
        text_bytes=size.bytes,
    )


def _chat_demand(request: ChatRequest, rate: Rate) -> UsageEstimate:
    parameters, messages = request.parameters, request.messages
    files = [part for message in messages for part in _parts(message) if is_file(part)]
    size = size_of([*_texts(messages), *_containers(parameters)])
    for part, times in referred_parts(schemas_of(parameters)):  # sent in the place of each reference by some providers
        size += size_of(part) * times
    in_files = sum(map(file_tokens, files))
    # An answer that was spoken before is named by its id, and its sound is read again.
    spoken = sum(rate.max_output_tokens for message in messages if message.get("audio"))
    fixed = TOKENS_PER_MESSAGE * (len(messages) + 1)
    if parameters.get("tools") or parameters.get("response_format"):
        fixed += TOKENS_FOR_TOOLS
    prediction = parameters.get("prediction")
    return UsageEstimate(
        prompt_tokens=fixed + in_files + spoken + size.worst_tokens,
        expected_prompt_tokens=in_files + size.bytes // LIKELY_BYTES_PER_TOKEN + len(messages),
        max_tokens=_max_tokens(parameters, rate),
        answers=parameters.get("n") or rate.answers,
        rate=at_tier(rate, parameters.get("service_tier")),
        extra_tokens=size_of([prediction]).worst_tokens if prediction else 0,  # what it gets wrong costs as answers do
        files=len(files),
        text_bytes=size.bytes,
    )


def _max_tokens(parameters: Mapping[str, Any], rate: Rate) -> int:
    asked = parameters.get("max_tokens")
    if asked is not None:
        return int(asked)
    thinking = parameters.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    thought = budget + THINKING_ANSWER if isinstance(budget, int) else 0
    return max(rate.max_output_tokens, thought)


def _texts(messages: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """Everything in messages that becomes tokens of text: all but roles, what parts are called, and the data of files."""
    for message in messages:
        for name, value in message.items():
            if name in ("content", "images") and isinstance(value, list | tuple):
                for part in value:
                    yield without_data(part) if is_file(part) else _part_text(part)
            elif name != "role":
                yield value


def _part_text(part: Any) -> Any:
    if isinstance(part, Mapping) and set(part) == {"type", "text"}:
        return part["text"]
    return part


def _containers(parameters: Mapping[str, Any]) -> Iterator[Any]:
    return (value for value in parameters.values() if not isinstance(value, int | float | None))


def _parts(message: Mapping[str, Any]) -> Sequence[Any]:
    """Possible files: parts of the content, and pictures of an earlier answer beside it."""
    held = (message.get(name) for name in ("content", "images"))
    return [part for parts in held if isinstance(parts, list | tuple) for part in parts]
