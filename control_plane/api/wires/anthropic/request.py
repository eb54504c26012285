"""Converts Anthropic's messages to OpenAI's form, which the call path uses. Pure; nothing that changes the meaning is
lost.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from control_plane.api.wires.anthropic import schema as wire
from control_plane.api.wires.job_headers import take_job_id
from control_plane.api.wires.run_call import ParsedCall
from control_plane.chat import ChatRequest
from control_plane.errors import Unprocessable

Json = dict[str, Any]

TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def parse_request(body: wire.MessagesBody) -> ParsedCall:
    """The call. Raises: JobNotFound, Unprocessable for blocks that make no sense where they are."""
    job_id, metadata = take_job_id(body.metadata)
    user_id = metadata.pop("user_id", None)
    return ParsedCall(
        request=chat_request(body),
        chars=text_length(body),
        model_group=body.model,
        job_type="chat",
        job_id=job_id,
        user_id=user_id if isinstance(user_id, str) else None,
        metadata=metadata,
        is_stream=bool(body.stream),
        default_temperature=None,
    )


def chat_request(body: wire.CountBody) -> ChatRequest:
    """The request. Raises: Unprocessable for blocks that make no sense where they are."""
    messages = _system(body.system)
    for message in body.messages:
        messages += _messages(message)
    return ChatRequest(messages, _parameters(body))


def text_length(body: wire.CountBody) -> int:
    """Characters of text in the messages; pictures and documents do not count."""
    return sum(_length(message.content) for message in body.messages) + _length(body.system)


def _length(content: str | list[wire.Block] | None) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(
        len(block.text or "") + len(block.thinking or "") + len(json.dumps(block.input or {})) + _length(block.content)
        for block in content or ()
    )


def _system(system: str | list[wire.Block] | None) -> list[Json]:
    if not system:
        return []
    return [{"role": "system", "content": system if isinstance(system, str) else [_part(block) for block in system]}]


def _messages(message: wire.AnthropicMessage) -> list[Json]:
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    if message.role == "assistant":
        return _said(message.content)
    results = [_result(block) for block in message.content if block.type == "tool_result"]
    parts = [_part(block) for block in message.content if block.type != "tool_result"]
    return [*results, *([{"role": message.role, "content": parts}] if parts else [])]


def _said(blocks: Iterable[wire.Block]) -> list[Json]:
    """The assistant's content, in as many messages as the order of its blocks needs.

    A message of OpenAI's shape has one order: thinking, then text, then tool calls. Claude checks the signatures of its
    thinking by their order, so a block that is out of order begins another message.
    """
    pieces: list[_Piece] = []
    for block in blocks:
        kind = KINDS.get(block.type)
        if kind is None:
            raise Unprocessable(f"a block of type {block.type} cannot be the assistant's")
        if not pieces or kind < pieces[-1].kind:
            pieces.append(_Piece())
        pieces[-1].add(block, kind)
    return [piece.message() for piece in pieces]


KINDS = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
"""The blocks of an assistant, in the order in which they stand in a message of OpenAI's shape."""


@dataclass(slots=True)
class _Piece:
    """Blocks of an assistant that stand in the order of OpenAI's shape; `kind`: of the last."""

    kind: int = 0
    thoughts: list[Json] = field(default_factory=list)
    texts: list[Json] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)

    def add(self, block: wire.Block, kind: int) -> None:
        """Raises: Unprocessable as `_part` does."""
        self.kind = kind
        match block.type:
            case "text":
                self.texts.append(_part(block))
            case "tool_use":
                function = {"name": block.name, "arguments": json.dumps(block.input or {}, ensure_ascii=False)}
                self.calls.append({"id": block.id, "type": "function", "function": function})
            case _:
                names = ("type", "thinking", "signature", "data")
                self.thoughts.append({name: value for name in names if (value := getattr(block, name)) is not None})

    def message(self) -> Json:
        only_text = len(self.texts) == 1 and "cache_control" not in self.texts[0]
        message: Json = {"role": "assistant", "content": self.texts[0]["text"] if only_text else self.texts or None}
        if self.calls:
            message["tool_calls"] = self.calls
        if self.thoughts:
            message["thinking_blocks"] = self.thoughts
        return message


def _result(block: wire.Block) -> Json:
    """A tool's result. Its text states a failure: OpenAI's shape has no field for it."""
    content: Any = block.content or ""
    if not isinstance(content, str):
        content = [_part(part) for part in content]
        if all(part["type"] == "text" for part in content):
            content = "\n".join(part["text"] for part in content)
    if block.is_error:
        content = f"Error: {content}" if isinstance(content, str) else [{"type": "text", "text": "Error:"}, *content]
    message: Json = {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}
    return message if block.cache_control is None else {**message, "cache_control": block.cache_control}


def _part(block: wire.Block) -> Json:
    match block.type:
        case "text":
            part: Json = {"type": "text", "text": block.text}
        case "image":
            part = {"type": "image_url", "image_url": {"url": _url(block)}}
        case "document":
            part = _document(block)
        case _:
            raise Unprocessable(f"a block of type {block.type} cannot be here")
    return part if block.cache_control is None else {**part, "cache_control": block.cache_control}


def _document(block: wire.Block) -> Json:
    source = block.source
    assert source is not None, "a document has a source"
    if source.type == "text":
        return {"type": "text", "text": source.data or ""}
    return {"type": "file", "file": {"filename": block.title or "document.pdf", "file_data": _url(block)}}


def _url(block: wire.Block) -> str:
    source = block.source
    assert source is not None, "checked by the schema"
    if source.type == "url" and source.url:
        return source.url
    if source.type == "base64" and source.data and source.media_type:
        return f"data:{source.media_type};base64,{source.data}"
    raise Unprocessable(f"the source of a block of type {block.type} must be base64 with media_type and data, or a url")


def _parameters(body: wire.CountBody) -> Json:
    given: Json = {}
    if body.tools:
        given["tools"] = [_tool(tool) for tool in body.tools]
    if body.tool_choice is not None:
        choice = body.tool_choice
        named = {"type": "function", "function": {"name": choice.name}}
        given["tool_choice"] = TOOL_CHOICES.get(choice.type, named)
        if choice.disable_parallel_tool_use is not None:
            given["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    if body.thinking is not None and body.thinking.get("type") != "disabled":
        given["thinking"] = body.thinking
    given |= _output(body.output_config)
    if isinstance(body, wire.MessagesBody):
        given["max_tokens"] = body.max_tokens
        set_too = {
            "stop": body.stop_sequences,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "service_tier": body.service_tier,
        }
        given |= {name: value for name, value in set_too.items() if value is not None and value != []}
    return given


def _output(config: wire.OutputConfig | None) -> Json:
    given: Json = {}
    if config is not None and config.format is not None:
        schema = {"name": "answer", "schema": config.format.schema_, "strict": True}
        given["response_format"] = {"type": "json_schema", "json_schema": schema}
    if config is not None and config.effort is not None:
        given["reasoning_effort"] = config.effort
    return given


def _tool(tool: wire.Tool) -> Json:
    function: Json = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    whole: Json = {"type": "function", "function": function}
    return whole if tool.cache_control is None else {**whole, "cache_control": tool.cache_control}
