"""Finish reasons: every provider's, and its meaning here. Pure.

Collected from LiteLLM 1.106.2's table (`core_helpers._FINISH_REASON_MAP`) and the providers' API references. An
unlisted reason is never taken for `stop`: it reaches the client unchanged (`native_finish_reason`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]

FAILURE: Final = "failure"
"""The provider itself reports that the answer broke off: the call failed."""

Meaning = FinishReason | Literal["failure"]

REASONS: Mapping[str, Meaning] = {
    # OpenAI and those with its API
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": FAILURE,  # OpenRouter, Mistral
    "model_length": "length",  # Mistral: the context is full
    "insufficient_system_resource": FAILURE,  # DeepSeek: interrupted
    "abort": FAILURE,  # vLLM, SGLang
    "aborted": FAILURE,
    "cancelled": FAILURE,
    "canceled": FAILURE,
    "timeout": FAILURE,
    "time_limit": FAILURE,
    "failed": FAILURE,
    "internal_error": FAILURE,
    "server_error": FAILURE,
    "preempted": FAILURE,
    "eos": "stop",  # Together, Hugging Face
    "eos_token": "stop",
    "end_of_text": "stop",
    "network_error": FAILURE,  # Zhipu
    "sensitive": "content_filter",  # Zhipu
    "repetition_truncation": "length",  # Moonshot, MiniMax
    "max_output": "length",  # MiniMax
    # OpenAI's Responses
    "completed": "stop",
    "max_output_tokens": "length",
    # Anthropic
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "compaction": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    # Bedrock
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": FAILURE,
    "malformed_tool_use": FAILURE,
    # Cohere
    "complete": "stop",
    "error_toxic": "content_filter",
    "error_limit": "length",
    "user_cancel": FAILURE,
    "tool_call": "tool_calls",
    # Gemini
    "safety": "content_filter",
    "recitation": "content_filter",
    "language": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "model_armor": "content_filter",
    "escalation": "content_filter",
    "no_image": FAILURE,
    "image_other": FAILURE,
    "malformed_function_call": FAILURE,
    "malformed_response": FAILURE,
    "unexpected_tool_call": FAILURE,
    "too_many_tool_calls": FAILURE,
    "missing_thought_signature": FAILURE,
    # Ollama
    "load": FAILURE,
    "unload": FAILURE,
    # Watsonx, AI21, Predibase
    "eos_found": "stop",
    "endoftext": "stop",
    "time limit": FAILURE,
}
"""By the provider's word in lower case."""

UNSAID = ("", "null", "none", "not_finished", "finish_reason_unspecified", "unspecified")
"""Finish reasons without a meaning."""

MOST_SAID = 200
"""The most characters kept of an unknown reason."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Why one answer ended. `said`: the provider's own reason; None without one. `stop_sequence`: the one that was met."""

    reason: FinishReason
    said: str | None = None
    stop_sequence: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether the provider itself gave a reason that is understood."""
        return self.said is not None and self.said.lower() in REASONS

    @property
    def native(self) -> str | None:
        """The provider's word where it differs from ours."""
        return None if self.said in (None, self.reason) else self.said


def is_failure(said: str | None) -> bool:
    """Whether the provider's word means that the answer broke off."""
    return said is not None and REASONS.get(said.lower()) == FAILURE


def finish_of(said: str | None, *, has_tool_calls: bool = False, stop_sequence: str | None = None) -> Finish:
    """The finish of an answer that did not break off.

    Some providers send `stop` after tool calls; clients expect `tool_calls`. Without tool calls `tool_calls` would make
    a client wait for one. An unknown reason counts as the closest kind: `tool_calls` with tool calls, else `stop`.
    """
    known = REASONS.get((said or "").lower(), "stop")
    reason: FinishReason = "stop" if known == "failure" else known
    if reason == "stop" and has_tool_calls:
        reason = "tool_calls"
    elif reason == "tool_calls" and not has_tool_calls:
        reason = "stop"
    return Finish(reason, said, stop_sequence)


def said_of(value: object) -> str | None:
    """A provider's reason as text; None without a meaning."""
    if value is None or value is False:
        return None
    text = value if isinstance(value, str) else str(value)
    text = text.strip()[:MOST_SAID].encode("utf-8", "replace").decode()
    return None if text.lower() in UNSAID else text
