"""Converts OpenAI's responses requests to chat completions, which the call path uses. Pure."""

import json
import re
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from control_plane.api.wires.job_headers import take_job_id
from control_plane.api.wires.openai.responses import schema as wire
from control_plane.api.wires.run_call import ParsedCall
from control_plane.chat import ChatRequest
from control_plane.schemas.chat import plain
from control_plane.schemas.history import MAX_PIECES, ThinkingBlock

Json = dict[str, Any]

BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
SAMPLE = 400
"""Characters of a picture that show whether it is data: an address has a colon in its first ten."""

MEDIA_TYPES = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""Of pictures in base64, by what they begin with."""

BLOCKS: TypeAdapter[list[ThinkingBlock]] = TypeAdapter(Annotated[list[ThinkingBlock], Field(max_length=MAX_PIECES)])


def parse_request(body: wire.ResponsesBody) -> ParsedCall:
    """The call. Raises: JobNotFound."""
    job_id, metadata = take_job_id(body.metadata)
    return ParsedCall(
        request=chat_request(body),
        chars=text_length(body),
        model_group=body.model,
        job_type="chat",
        job_id=job_id,
        user_id=body.user,
        metadata=metadata,
        is_stream=bool(body.stream),
        default_temperature=None,
    )


def chat_request(body: wire.ResponsesBody) -> ChatRequest:
    """The request: instructions first, then the items in their order."""
    messages: list[Json] = []
    if body.instructions:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        messages.append({"role": "user", "content": body.input})
    else:
        for item in body.input:
            _add(messages, item)
    return ChatRequest(messages, _parameters(body))


def text_length(body: wire.ResponsesBody) -> int:
    """Characters of text in it, reasoning included; files and pictures do not count."""
    length = len(body.instructions or "")
    if isinstance(body.input, str):
        return length + len(body.input)
    return length + sum(_item_length(item) for item in body.input)


def _item_length(item: wire.InputItem) -> int:
    reasoning = sum(len(piece.text) for piece in item.summary or ()) or len(item.encrypted_content or "")
    return _length(item.content) + _length(item.output) + len(item.arguments or item.input or "") + reasoning


def _length(content: str | list[wire.InputPart] | None) -> int:
    return len(content) if isinstance(content, str) else sum(len(part.text or "") for part in content or ())


def _add(messages: list[Json], item: wire.InputItem) -> None:
    """One item. Reasoning begins a message, which the text or the calls behind it continue: Claude checks the order."""
    last = messages[-1] if messages and messages[-1]["role"] == "assistant" else None
    match item.type:
        case "message":
            if item.role == "assistant" and last is not None and last["content"] is None and "tool_calls" not in last:
                last["content"] = _content(item.content)
            else:
                messages.append({"role": item.role, "content": _content(item.content)})
        case "function_call" | "custom_tool_call":
            call = {
                "id": item.call_id,
                "type": "function",
                "function": {"name": item.name, "arguments": _arguments(item)},
            }
            if last is None:  # calls made at once are one message in a chat
                last = {"role": "assistant", "content": None}
                messages.append(last)
            last.setdefault("tool_calls", []).append(call)
        case "function_call_output" | "custom_tool_call_output":
            messages.append({"role": "tool", "tool_call_id": item.call_id, "content": _content(item.output)})
        case "image_generation_call":
            if last is None or "tool_calls" in last:
                last = {"role": "assistant", "content": ""}
                messages.append(last)
            last.setdefault("images", []).append(_picture(item))
        case "reasoning":
            messages.append({"role": "assistant", "content": None, **_reasoning(item)})


def _arguments(item: wire.InputItem) -> str:
    """The arguments as JSON text; a custom tool's free text as the one argument of a function."""
    if item.type == "custom_tool_call":
        return json.dumps({"input": item.input or ""}, ensure_ascii=False)
    return item.arguments or "{}"


def _picture(item: wire.InputItem) -> Json:
    """A picture of an earlier answer, as chat completions have it."""
    result = item.result or ""
    is_data = bool(result) and BASE64.fullmatch(result[:SAMPLE]) is not None
    url = f"data:{_media_type(result)};base64,{result}" if is_data else result
    return {"type": "image_url", "image_url": {"url": url}}


def _media_type(data: str) -> str:
    return next((kind for beginning, kind in MEDIA_TYPES.items() if data.startswith(beginning)), "image/png")


def _reasoning(item: wire.InputItem) -> Json:
    """The contents of reasoning: its text, and Claude's blocks with their signatures, where its encrypted content is
    those.
    """
    fields: Json = {}
    if text := "\n".join(piece.text for piece in item.summary or () if piece.text):
        fields["reasoning_content"] = text
    if blocks := _blocks(item.encrypted_content):
        fields["thinking_blocks"] = blocks
    return fields


def _blocks(encrypted: str | None) -> list[Json]:
    """The thinking blocks in our own encrypted content; none in another service's."""
    try:
        return [plain(block) for block in BLOCKS.validate_json(encrypted or "")]
    except ValidationError:
        return []


def _content(content: str | list[wire.InputPart] | None) -> str | list[Json]:
    """Text alone as text, which every provider takes."""
    if not content:
        return ""
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: wire.InputPart) -> Json:
    match part.type:
        case "input_image":
            detail = {} if part.detail is None else {"detail": part.detail}
            return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
        case "input_file":
            file = {"filename": part.filename or "document.pdf", "file_data": part.file_data or part.file_url}
            return {"type": "file", "file": file}
        case "input_audio":
            return {"type": "input_audio", "input_audio": plain(part.input_audio)}
        case _:
            return {"type": "text", "text": part.refusal if part.type == "refusal" else part.text}


def _parameters(body: wire.ResponsesBody) -> Json:
    choice = body.tool_choice
    if isinstance(choice, wire.ResponsesFunctionChoice):
        choice_given: Any = {"type": "function", "function": {"name": choice.name}}
    else:
        choice_given = choice
    given: Json = {
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "tools": [_tool(tool) for tool in body.tools] if body.tools else None,
        "tool_choice": choice_given,
        "parallel_tool_calls": body.parallel_tool_calls,
        "response_format": _format(body.text.format) if body.text and body.text.format else None,
        "verbosity": body.text.verbosity if body.text else None,
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
        "service_tier": body.service_tier,
    }
    return {name: value for name, value in given.items() if value is not None}


def _tool(tool: wire.FunctionTool) -> Json:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _format(form: wire.TextFormat) -> Json:
    if form.type != "json_schema":
        return {"type": form.type}
    schema = {
        "name": form.name or "answer",
        "description": form.description,
        "schema": form.schema_ or {},
        "strict": form.strict,
    }
    return {
        "type": "json_schema",
        "json_schema": {name: value for name, value in schema.items() if value is not None},
    }
