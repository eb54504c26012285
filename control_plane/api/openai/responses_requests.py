"""OpenAI's responses in the shape of chat completions, which the call path speaks. Pure."""

from typing import Any

from control_plane.chat import ChatRequest
from control_plane.schemas import openai_responses as wire

Json = dict[str, Any]


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
    """Characters of text in it; files and pictures do not count."""
    length = len(body.instructions or "")
    if isinstance(body.input, str):
        return length + len(body.input)
    return length + sum(_length(item.content) + _length(item.output) + len(item.arguments or "") for item in body.input)


def _length(content: str | list[wire.InputPart] | None) -> int:
    return len(content) if isinstance(content, str) else sum(len(part.text or "") for part in content or ())


def _add(messages: list[Json], item: wire.InputItem) -> None:
    match item.type:
        case "message":
            messages.append({"role": item.role, "content": _content(item.content)})
        case "function_call":
            function = {"name": item.name, "arguments": item.arguments}
            call = {"id": item.call_id, "type": "function", "function": function}
            if not messages or messages[-1]["role"] != "assistant":  # calls made at once are one message in a chat
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(call)
        case "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.call_id, "content": _content(item.output)})
        case "reasoning":
            return


def _content(content: str | list[wire.InputPart] | None) -> str | list[Json]:
    """Text alone as text, which every provider takes."""
    if content is None or isinstance(content, str):
        return content or ""
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
            return {"type": "input_audio", "input_audio": part.input_audio}
        case _:
            return {"type": "text", "text": part.refusal if part.type == "refusal" else part.text}


def _parameters(body: wire.ResponsesBody) -> Json:
    choice = body.tool_choice
    if isinstance(choice, wire.ChosenFunction):
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
