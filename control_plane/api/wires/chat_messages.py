"""Converts a client's chat messages to the call path's form. Pure.

An assistant's deprecated `function_call` becomes a tool call with an id made here, and the `function` message behind it
that call's result; Claude's thinking and refusals among an assistant's parts move to the fields they have elsewhere.
"""

from collections.abc import Sequence
from typing import Any

from control_plane.schemas.chat import ChatMessage, plain

Json = dict[str, Any]


def chat_messages(given: Sequence[ChatMessage]) -> list[Json]:
    """The messages in OpenAI's present shape. Equal messages give equal ones, ids included."""
    messages: list[Json] = []
    for place, message in enumerate(given):
        written: Json = plain(message)
        if message.role == "function":
            _add_result(messages, written, place)
            continue
        if message.function_call is not None:
            _add_call(written, place)
        for call in written.get("tool_calls") or ():
            call["function"].setdefault("arguments", "{}")
        if message.role == "assistant" and isinstance(written.get("content"), list):
            messages += _split(written)
        else:
            messages.append(written)
    return messages


def _add_call(message: Json, place: int) -> None:
    function = message.pop("function_call")
    if not message.get("tool_calls"):
        message["tool_calls"] = [_call(_id(place), function["name"], function.get("arguments") or "{}", function)]


def _add_result(messages: list[Json], message: Json, place: int) -> None:
    """The result of the call before it, which is put back where the client left it out."""
    call = next(iter((messages[-1].get("tool_calls") if messages else None) or ()), None)
    if call is None or call["function"]["name"] != message["name"]:
        call = _call(_id(place), message["name"], "{}", {})
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    messages.append({"role": "tool", "tool_call_id": call["id"], "content": message.get("content") or ""})


def _call(call_id: str, name: str, arguments: str, function: Json) -> Json:
    call: Json = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    signed = function.get("provider_specific_fields")
    return call if signed is None else {**call, "provider_specific_fields": signed}


def _id(place: int) -> str:
    return f"call_function_{place}"


def _split(message: Json) -> list[Json]:
    """The message in as many as its thinking needs, which goes before the text that came after it."""
    parts = message["content"]
    if all(part["type"] not in {"thinking", "redacted_thinking", "refusal"} for part in parts):
        return [message]
    pieces: list[Json] = [{"role": "assistant", "content": []}]
    for part in parts:
        if part["type"] == "refusal":
            pieces[-1]["content"].append({"type": "text", "text": part["refusal"]})
        elif part["type"] in {"thinking", "redacted_thinking"}:
            if pieces[-1]["content"]:
                pieces.append({"role": "assistant", "content": []})
            pieces[-1].setdefault("thinking_blocks", []).append(part)
        else:
            pieces[-1]["content"].append(part)
    is_inline = any("thinking_blocks" in piece for piece in pieces)
    left = {"role", "content", *(("thinking_blocks",) if is_inline else ())}  # the same blocks a second time
    beside = {name: value for name, value in message.items() if name not in left}
    return [*pieces[:-1], {**pieces[-1], **beside}]
