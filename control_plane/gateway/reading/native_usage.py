"""Reads usage from each provider's own wire, in OpenAI's form. Pure.

Documents of one answer add to each other: a later report may leave out what an earlier one named.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.gateway.reading.numbers import tokens_of

Json = Mapping[str, Any]

HOLDERS = ("usage", "usageMetadata")
"""Keys of usage reports."""

AROUND = ("message", "response", "delta", "metadata")
"""Keys that may contain usage reports."""

COUNT = re.compile(r"tokens?(count)?$|requests$|^search_units$", re.IGNORECASE)
LISTS = re.compile(r"Details$|^iterations$")
GROUPS = ("cache_creation", "server_tool_use", "tokens", "billed_units")
"""Names of what reports hold: counts, lists of them, and groups of them."""

NEEDED = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
"""Fields that LiteLLM requires of Bedrock."""

COUNTS = ("prompt_eval_count", "eval_count")
"""Ollama's, which stand beside the answer."""


class NativeUsage:
    """The latest of each of a provider's counts."""

    def __init__(self) -> None:
        self._anthropic: dict[str, Any] = {}

    def take(self, document: Json) -> Json | None:
        """The usage so far, in OpenAI's form; None where the document reports nothing."""
        for read in (_gemini, _ollama, _bedrock, _cohere, _responses, self._take_anthropic):
            if (found := read(document)) is not None:
                return found
        return None

    def _take_anthropic(self, document: Json) -> Json | None:
        """Its `input_tokens` leave out the cache. The output counted at the beginning of a stream is a placeholder."""
        is_start = isinstance(document.get("message"), dict)
        said = (document["message"] if is_start else document).get("usage")
        if not isinstance(said, dict):
            return None
        skipped = ("output_tokens",) if is_start else ()
        self._anthropic.update(
            {name: value for name, value in said.items() if value is not None and name not in skipped}
        )
        known = self._anthropic
        read, written = (_count(known, f"cache_{name}_input_tokens") for name in ("read", "creation"))
        details = known.get("cache_creation")
        details = details if isinstance(details, dict) else {}
        kept = [_count(details, f"ephemeral_{ttl}_input_tokens") for ttl in ("5m", "1h")]
        written = max(written, sum(kept))
        return {
            "prompt_tokens": _sum(_known(known, "input_tokens"), read, written),
            "completion_tokens": _known(known, "output_tokens"),
            "prompt_tokens_details": {
                "cached_tokens": read,
                "cache_write_tokens": written,
                "cache_creation_token_details": {"ephemeral_1h_input_tokens": kept[1]},
            },
            "completion_tokens_details": {
                "reasoning_tokens": _count(_inner(known, "output_tokens_details"), "thinking_tokens")
            },
            "service_tier": known.get("service_tier"),
        }


def _gemini(document: Json) -> Json | None:
    """Its answer's count leaves out the thoughts, unless the total shows that it does not."""
    said = document.get("usageMetadata")
    if not isinstance(said, dict):
        return None
    prompt, total = _known(said, "promptTokenCount"), _known(said, "totalTokenCount")
    answer = _known(said, "responseTokenCount")
    answer = _known(said, "candidatesTokenCount") if answer is None else answer
    thoughts, tools = _count(said, "thoughtsTokenCount"), _count(said, "toolUsePromptTokenCount")
    if answer is None and prompt is not None and total == prompt + tools:
        answer = 0  # a prompt that was blocked
    if total is None or (prompt or 0) + (answer or 0) + tools != total:
        answer = _sum(answer, thoughts) if answer is not None else thoughts or None
    inputs, cached = _modalities(said, "promptTokensDetails"), _modalities(said, "cacheTokensDetails")
    outputs = _modalities(said, "candidatesTokensDetails") or _modalities(said, "responseTokensDetails")
    return {
        "prompt_tokens": prompt if _is_grounded(document) else _sum(prompt, tools),
        "completion_tokens": answer,
        "prompt_tokens_details": {
            "cached_tokens": _count(said, "cachedContentTokenCount"),
            "audio_tokens": max(0, inputs.get("AUDIO", 0) - cached.get("AUDIO", 0)),
            "image_tokens": max(0, inputs.get("IMAGE", 0) - cached.get("IMAGE", 0)),
        },
        "completion_tokens_details": {
            "reasoning_tokens": thoughts,
            "audio_tokens": outputs.get("AUDIO", 0),
            "image_tokens": outputs.get("IMAGE", 0),
        },
    }


def _is_grounded(document: Json) -> bool:
    """Whether it searched: what the search read is not charged by the token."""
    candidates = document.get("candidates")
    return isinstance(candidates, list) and any(
        isinstance(candidate, dict) and candidate.get("groundingMetadata") for candidate in candidates
    )


def _ollama(document: Json) -> Json | None:
    if not any(name in document for name in COUNTS):
        return None
    return {"prompt_tokens": document.get("prompt_eval_count"), "completion_tokens": document.get("eval_count")}


def _bedrock(document: Json) -> Json | None:
    """Of converse. What a model's own API reports inside of invoke stands in its own documents."""
    said = _inner(document.get("metadata") if "metadata" in document else document, "usage")
    if not said.keys() & {"inputTokens", "outputTokens"}:
        return None
    read, written = _count(said, "cacheReadInputTokens"), _count(said, "cacheWriteInputTokens")
    details = said.get("cacheDetails")
    kept = sum(
        _count(item, "inputTokens")
        for item in (details if isinstance(details, list) else ())
        if isinstance(item, dict) and item.get("ttl") == "1h"
    )
    return {
        "prompt_tokens": _sum(_known(said, "inputTokens"), read, written),
        "completion_tokens": said.get("outputTokens"),
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            "cache_creation_token_details": {"ephemeral_1h_input_tokens": kept},
        },
    }


def _cohere(document: Json) -> Json | None:
    around = document["delta"] if isinstance(document.get("delta"), dict) else document
    usage = _inner(around, "usage")
    if not usage.keys() & {"tokens", "billed_units"}:
        return None
    said = _inner(usage, "tokens") or _inner(usage, "billed_units")
    cached = _count(usage, "cached_tokens")
    return {
        "prompt_tokens": said.get("input_tokens"),
        "completion_tokens": said.get("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _responses(document: Json) -> Json | None:
    around = document["response"] if isinstance(document.get("response"), dict) else document
    if around.get("object") != "response" and around is document:
        return None
    said = around.get("usage")
    return {**said, "service_tier": around.get("service_tier")} if isinstance(said, dict) else None


def _modalities(said: Json, name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    details = said.get(name)
    for item in details if isinstance(details, Sequence) and not isinstance(details, str) else ():
        if isinstance(item, dict) and isinstance(kind := item.get("modality"), str):
            found[kind.upper()] = found.get(kind.upper(), 0) + _count(item, "tokenCount")
    return found


def _inner(around: Any, name: str) -> Json:
    found = around.get(name) if isinstance(around, dict) else None
    return found if isinstance(found, dict) else {}


def _known(said: Json, name: str) -> int | None:
    return tokens_of(said.get(name))


def _count(said: Json, name: str) -> int:
    return tokens_of(said.get(name)) or 0


def _sum(count: int | None, *more: int) -> int | None:
    return None if count is None else count + sum(more)


def with_true_counts(document: Any) -> Any:
    """The document with 0 for counts that cannot be true: LiteLLM calculates with whatever stands there."""
    if not isinstance(document, dict):
        return document
    changed: dict[str, Any] = {}
    for name in HOLDERS:
        if name in document and (cleaned := _cleaned(document[name])) != document[name]:
            changed[name] = cleaned
    for name in AROUND:
        if isinstance(document.get(name), dict) and (inner := with_true_counts(document[name])) is not document[name]:
            changed[name] = inner
    for name in COUNTS:
        if name in document and tokens_of(document[name]) is None:
            changed[name] = 0
    if "stopReason" in document or "metrics" in document:
        changed["usage"] = {**NEEDED, **_cleaned(document.get("usage"))}
    elif document.get("type") == "message" and "usage" not in document:
        changed["usage"] = {}
    return {**document, **changed} if changed else document


def _cleaned(said: Any) -> dict[str, Any]:
    """A report whose values are what LiteLLM takes them for."""
    return {name: _value(name, value) for name, value in said.items()} if isinstance(said, dict) else {}


def _value(name: str, value: Any) -> Any:
    if LISTS.search(name):
        return [_cleaned(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if name in GROUPS or name.endswith("_details"):
        return _cleaned(value)
    if COUNT.search(name):
        return tokens_of(value) or 0
    return value
