"""Messages in Anthropic's shape: whole, and as the events its SDKs put together."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from control_plane.api.anthropic.errors import anthropic_error
from control_plane.api.failures import Failure
from control_plane.api.respond.answers import parsed_arguments
from control_plane.calls.service import AnsweredCall
from control_plane.chat import Answer, Chunk, Ending, text_of
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import HouseError
from control_plane.units import NanoUsd, usd

Json = dict[str, Any]

STOP_REASONS: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def message(answered: AnsweredCall[Answer]) -> Json:
    """A whole answer."""
    answer = answered.answer
    said = answer.choices[0]["message"]
    return {
        **_head(str(answered.call.intent.call_id), answer.served.model),
        "content": _blocks(said, answer.content, answer.tool_calls),
        "stop_reason": STOP_REASONS[answer.finish_reason],
        "usage": usage(answer.usage, answer.cost),
    }


def usage(used: Usage, cost: NanoUsd | None) -> Json:
    """What was used: what the provider had cached stands apart. Beside it the cost, where it is known."""
    said: Json = {
        "input_tokens": max(0, used.prompt_tokens - used.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.cached_tokens,
        "output_tokens": used.completion_tokens,
    }
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


def _blocks(said: Mapping[str, Any], text: str | None, calls: Sequence[Mapping[str, Any]]) -> list[Json]:
    blocks = [_thought(block) for block in said.get("thinking_blocks") or ()]
    if not blocks and said.get("reasoning_content"):
        blocks.append({"type": "thinking", "thinking": said["reasoning_content"], "signature": ""})
    if text:
        blocks.append({"type": "text", "text": text})
    return blocks + [_tool_use(call) for call in calls]


def _thought(block: Mapping[str, Any]) -> Json:
    if block.get("type") == "redacted_thinking":
        return {"type": "redacted_thinking", "data": block.get("data") or ""}
    return {"type": "thinking", "thinking": block.get("thinking") or "", "signature": block.get("signature") or ""}


def _tool_use(call: Mapping[str, Any]) -> Json:
    """A tool call, its arguments as an object; what a model wrote that is none stands in it as text."""
    function = call["function"]
    arguments = parsed_arguments(function.get("arguments") or "")
    if isinstance(arguments, str):
        arguments = {"INVALID_JSON": arguments}
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments}


class MessageEvents:
    """Writes one stream. A block of text or thought ends where another begins; tool calls, whose pieces may come in
    turns, end with the message.
    """

    def __init__(self, call_id: str, model: str) -> None:
        self._head = _head(call_id, model)
        self._blocks = 0
        self._open: str | None = None
        self._tools: dict[int, int] = {}
        self._is_begun = False

    def chunk(self, chunk: Chunk) -> bytes:
        """What a piece adds."""
        delta = chunk.delta
        written = self._begin()
        for block in delta.get("thinking_blocks") or ():
            written += self._thought(block)
        if delta.get("reasoning_content") and not delta.get("thinking_blocks"):
            written += self._in("thinking") + self._delta("thinking_delta", thinking=delta["reasoning_content"])
        if text := text_of(delta):
            written += self._in("text") + self._delta("text_delta", text=text)
        for piece in delta.get("tool_calls") or ():
            written += self._tool(piece)
        return written

    def ending(self, ending: Ending) -> bytes:
        """The blocks' ends, why it ended and what was used."""
        written = self._begin() + self._close()
        for block in self._tools.values():
            written += _event("content_block_stop", index=block)
        delta = {"stop_reason": STOP_REASONS[ending.finish_reason], "stop_sequence": None}
        written += _event("message_delta", delta=delta, usage=usage(ending.usage, ending.cost))
        return written + _event("message_stop")

    def error(self, error: HouseError) -> bytes:
        """The failure."""
        _, body = anthropic_error(Failure.of(error))
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"

    def _begin(self) -> bytes:
        if self._is_begun:
            return b""
        self._is_begun = True
        return _event("message_start", message={**self._head, "usage": usage(Usage(), None)})

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

    def _thought(self, block: Mapping[str, Any]) -> bytes:
        if block.get("type") == "redacted_thinking":
            whole = self._close() + self._start(_thought(block))
            return whole + _event("content_block_stop", index=self._current)
        written = self._in("thinking")
        if block.get("thinking"):
            written += self._delta("thinking_delta", thinking=block["thinking"])
        if block.get("signature"):
            written += self._delta("signature_delta", signature=block["signature"])
        return written

    def _tool(self, piece: Mapping[str, Any]) -> bytes:
        number = piece.get("index") or 0
        function = piece.get("function") or {}
        written = b""
        if number not in self._tools:
            written = self._close()
            use: Json = {
                "type": "tool_use",
                "id": piece.get("id") or "",
                "name": function.get("name") or "",
                "input": {},
            }
            written += self._start(use)
            self._tools[number] = self._current
        if function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": function["arguments"]}
            written += _event("content_block_delta", index=self._tools[number], delta=delta)
        return written


def _event(kind: str, **said: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **said}) + b"\n\n"
