"""Messages in Anthropic's form: whole, and as the events of its streams."""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import orjson

from control_plane.api.http.problem import Problem
from control_plane.api.wires.anthropic.arguments import ObjectArguments, input_of
from control_plane.api.wires.anthropic.errors import anthropic_error
from control_plane.api.wires.calls_in_order import CallsInOrder
from control_plane.api.wires.openai_fields import thinking_block
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Completion, Ending
from control_plane.completion.events import (
    Audio,
    Citation,
    Content,
    Picture,
    Reasoning,
    ReasoningDetail,
    Refusal,
    Text,
    ToolCallArguments,
    ToolCallBegun,
    ToolCallEnded,
)
from control_plane.completion.finish import Finish, FinishReason
from control_plane.completion.fold import Message, Part, ToolCall
from control_plane.completion.usage import Usage
from control_plane.errors import ControlPlaneError
from control_plane.units import NanoUsd, usd

Json = dict[str, Any]

STOP_REASONS: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}

OWN_REASONS = frozenset({*STOP_REASONS.values(), "stop_sequence", "pause_turn", "model_context_window_exceeded"})
"""Reasons that are Anthropic's own words; they stay as they are."""

TIERS: Mapping[str, str] = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


def message(call: InFlightCall, answer: Completion) -> bytes:
    """A whole answer."""
    body = {
        **_head(str(call.intent.call_id), answer.served.model),
        "content": _blocks(answer.message),
        **_stop(answer.ending.finish),
        "usage": usage(answer.usage, answer.cost),
    }
    return orjson.dumps(body)


def usage(used: Usage, cost: NanoUsd | None) -> Json:
    """The usage, with the tokens read from and written to the provider's cache apart, and the cost, where known."""
    said: Json = {
        "input_tokens": used.fresh_tokens,
        "cache_creation_input_tokens": used.cache_write_tokens,
        "cache_read_input_tokens": used.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.cache_write_tokens - used.cache_write_1h_tokens,
            "ephemeral_1h_input_tokens": used.cache_write_1h_tokens,
        },
        "output_tokens": used.completion_tokens,
    }
    if (tier := TIERS.get(used.service_tier or "")) is not None:
        said["service_tier"] = tier
    return said if cost is None else {**said, "cost_usd": usd(cost)}


def _head(call_id: str, model: str) -> Json:
    return {
        "id": f"msg_{call_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(finish: Finish) -> Json:
    """Why it ended, and the stop sequence that it met; the provider's word beside it, where Anthropic has none for it."""
    native = finish.native
    reason = STOP_REASONS[finish.reason]
    if native in OWN_REASONS and finish.reason != "tool_calls":
        reason, native = native or reason, None
    if finish.reason == "stop" and finish.stop_sequence is not None:
        reason = "stop_sequence"
    said: Json = {"stop_reason": reason, "stop_sequence": finish.stop_sequence}
    return said if native is None else {**said, "native_finish_reason": native}


def _blocks(said: Message) -> list[Json]:
    blocks: list[Json] = []
    for part in said.parts:
        block = _block(part)
        last = blocks[-1] if blocks else None
        if last is not None and last["type"] == "text" and block.get("type") == "text":
            last["text"] += block["text"]  # sources may stand between two pieces of one text
        elif isinstance(part, Citation):
            if last is None or last["type"] != "text":
                last = {"type": "text", "text": ""}
                blocks.append(last)
            last.setdefault("citations", []).append(_citation(part))
        elif block:
            blocks.append(block)
    return [block for block in blocks if block.get("text") != "" or "citations" in block]


def _block(part: Part) -> Json:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Reasoning():
            return thinking_block(part)
        case ToolCall():
            return _tool_use(part)
        case Picture():
            return {"type": "text", "text": _markdown(part)}
        case Audio():
            return {"type": "text", "text": part.transcript}
        case Citation():
            return {}
        case _:
            assert_never(part)


def _tool_use(call: ToolCall) -> Json:
    return {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": input_of(call.begun.kind, call.arguments),
    }


def _markdown(picture: Picture) -> str:
    """Anthropic's messages have no pictures in answers."""
    return f"![image]({picture.url})"


def _citation(citation: Citation) -> Json:
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": "",
        "encrypted_index": "",
    }


class MessageEvents:
    """Writes one stream, a block behind the other: one of text or thought ends where another begins."""

    def __init__(self, call_id: str, model: str, input_usage: Usage) -> None:
        """`input_usage`: the input's usage as known at the start, where clients expect it."""
        self._head = _head(call_id, model)
        self._input_usage = input_usage
        self._blocks = 0
        self._open: str | None = None
        self._order = CallsInOrder()
        self._arguments = ObjectArguments("function")
        self._is_begun = False

    def chunk(self, content: Content) -> bytes:
        """The output of an event."""
        return b"" if content.choice else self._begin() + self._contents(self._order.take(content))

    def ending(self, ending: Ending) -> bytes:
        """The blocks' ends, why it ended and what was used."""
        written = self._begin() + self._contents(self._order.end()) + self._close()
        written += _event("message_delta", delta=_stop(ending.finish), usage=usage(ending.usage, ending.cost))
        return written + _event("message_stop")

    def error(self, error: ControlPlaneError) -> bytes:
        """The failure."""
        _, body = anthropic_error(Problem.of(error))
        written = self._contents(self._order.end())
        return written + b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"

    def _contents(self, contents: Iterable[Content]) -> bytes:
        return b"".join([self._content(content) for content in contents])

    def _content(self, content: Content) -> bytes:  # noqa: PLR0911 - one for each event
        match content:
            case Text() | Refusal():
                return self._text(content.text)
            case Reasoning():
                return self._thought(content)
            case ToolCallBegun():
                return self._tool(content)
            case ToolCallArguments():
                return self._json(self._arguments.take(content.text))
            case ToolCallEnded():
                return self._json(self._arguments.end()) + _event("content_block_stop", index=self._current)
            case Picture():
                return self._text(_markdown(content))
            case Citation():
                written = self._in("text")
                delta = {"type": "citations_delta", "citation": _citation(content)}
                return written + _event("content_block_delta", index=self._current, delta=delta)
            case Audio():
                return self._text(content.transcript) if content.transcript else b""
            case ReasoningDetail():
                return b""
            case _:
                assert_never(content)

    def _begin(self) -> bytes:
        if self._is_begun:
            return b""
        self._is_begun = True
        return _event("message_start", message={**self._head, "usage": usage(self._input_usage, None)})

    def _text(self, text: str) -> bytes:
        return self._in("text") + self._delta("text_delta", text=text)

    def _in(self, kind: str) -> bytes:
        """Makes a block of this kind the open one."""
        if self._open == kind:
            return b""
        empty: Json = {"text": ""} if kind == "text" else {"thinking": "", "signature": ""}
        closed = self._close()
        self._open = kind
        return closed + self._start({"type": kind, **empty})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", index=self._current)

    def _start(self, block: Json) -> bytes:
        self._current = self._blocks
        self._blocks += 1
        return _event("content_block_start", index=self._current, content_block=block)

    def _delta(self, kind: str, **said: str) -> bytes:
        return _event("content_block_delta", index=self._current, delta={"type": kind, **said})

    def _thought(self, event: Reasoning) -> bytes:
        """A signature ends a block; a block that only the provider can read stands alone."""
        if event.redacted is not None:
            whole = self._close() + self._start(thinking_block(event))
            return whole + _event("content_block_stop", index=self._current)
        written = self._in("thinking")
        if event.text:
            written += self._delta("thinking_delta", thinking=event.text)
        if event.signature is not None:
            written += self._delta("signature_delta", signature=event.signature) + self._close()
        return written

    def _tool(self, event: ToolCallBegun) -> bytes:
        written = self._close()
        written += self._start({"type": "tool_use", "id": event.id, "name": event.name, "input": {}})
        self._arguments = ObjectArguments(event.kind)
        return written

    def _json(self, text: str) -> bytes:
        return self._delta("input_json_delta", partial_json=text) if text else b""


def _event(kind: str, **said: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **said}) + b"\n\n"
