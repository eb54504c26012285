"""LiteLLM's copy of an answer that was read here: text, end and usage, in the wire that it expects. Pure.

Its retries, fallbacks and reports work on that as usual.
"""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from control_plane.completion.events import Content
from control_plane.gateway.pricing.prices import usage_json
from control_plane.gateway.pricing.settling import text_of
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.reading.native import Wire
from control_plane.gateway.reading.passing import dumped

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"


class PlainAnswer:
    """Writes one answer. `model`: the name under which LiteLLM prices it; where it is empty, the provider's."""

    def __init__(self, wire: Wire, chunks: ChunkReader, model: str) -> None:
        self._wire = wire
        self._chunks = chunks
        self._model = model
        self._id = ""

    def whole(self, events: Sequence[Content]) -> bytes:
        """A buffered answer."""
        text = "".join(map(text_of, events))
        match self._wire:
            case "responses":
                document = self._response(text)
            case "cohere":
                content = [{"type": "text", "text": text}]
                said = {"role": "assistant", "content": content}
                document = {"id": self._name(), "message": said, **self._cohere_end()}
            case _:
                document = self._chat("message", {"role": "assistant", "content": text}, is_last=True)
        return dumped(document)

    def piece(self, events: Sequence[Content]) -> bytes:
        """A piece of a stream. It is never empty: LiteLLM takes that for no answer yet."""
        text = "".join(map(text_of, events)) or " "
        match self._wire:
            case "responses":
                place = {"item_id": "msg", "output_index": 0, "content_index": 0, "sequence_number": 0, "logprobs": []}
                return _event({"type": "response.output_text.delta", "delta": text, **place})
            case "cohere":
                return _line({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}})
            case _:
                return _event(self._chat("delta", {"role": "assistant", "content": text}, is_last=False))

    def end(self) -> bytes:
        """The end of a stream."""
        match self._wire:
            case "responses":
                return _event({"type": "response.completed", "sequence_number": 0, "response": self._response("")})
            case "cohere":  # LiteLLM reads its end from another place than Cohere writes it
                return _line({"event": "message-end", "data": {"delta": self._cohere_end()}})
            case _:
                return _event(self._chat("delta", {}, is_last=True)) + DONE

    def _name(self) -> str:
        self._id = self._id or self._chunks.told_id or f"chatcmpl-{uuid4().hex}"
        return self._id

    def _chat(self, name: str, said: Json, *, is_last: bool) -> Json:
        finish = self._chunks.finishes()[0].reason if is_last else None
        document: Json = {
            "id": self._name(),
            "object": "chat.completion" if name == "message" else "chat.completion.chunk",
            "created": 0,
            "model": self._model or self._chunks.told_model,
            "choices": [{"index": 0, name: said, "finish_reason": "stop" if finish == "tool_calls" else finish}],
        }
        if name == "message":
            document["service_tier"] = self._chunks.usage.service_tier  # LiteLLM's code for Groq reads it, there or not
        usage = self._usage() if is_last else None
        return document if usage is None else {**document, "usage": usage}

    def _response(self, text: str) -> Json:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": content}
        usage = self._usage() or {}
        counts = {
            "input_tokens": usage.get("prompt_tokens", 0),
            "input_tokens_details": {"cached_tokens": 0, **usage.get("prompt_tokens_details", {})},
            "output_tokens": usage.get("completion_tokens", 0),
            "output_tokens_details": {"reasoning_tokens": 0, **usage.get("completion_tokens_details", {})},
            "total_tokens": usage.get("total_tokens", 0),
        }
        tier = self._chunks.usage.service_tier
        return {
            "id": self._name(),
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "model": self._model or self._chunks.told_model,
            "output": [message],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            **({"usage": counts} if usage else {}),
            **({"service_tier": tier} if tier else {}),
        }

    def _cohere_end(self) -> Json:
        usage = self._usage() or {"prompt_tokens": 0, "completion_tokens": 0}  # LiteLLM needs some
        counts = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
        return {"finish_reason": "COMPLETE", "usage": {"billed_units": counts, "tokens": counts}}

    def _usage(self) -> Json | None:
        """In OpenAI's form; None where a side of it is missing: LiteLLM counts by itself then."""
        reported = self._chunks.usage
        prompt_tokens = reported.prompt_tokens()
        completion_tokens = reported.completion_tokens(has_content=self._chunks.has_content)
        if prompt_tokens is None or completion_tokens is None:
            return None
        usage = reported.usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, is_estimated=False)
        return usage_json(usage) if reported.cost is None else {**usage_json(usage), "cost": reported.cost}


def _line(document: Json) -> bytes:
    """LiteLLM reads lines of JSON where Cohere sends events."""
    return dumped(document) + b"\n"


def _event(document: Json) -> bytes:
    return b"data: " + dumped(document) + b"\n\n"
