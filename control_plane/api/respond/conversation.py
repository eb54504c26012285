"""A conversation as clients send it, in the form every provider takes. Pure: bodies in, OpenAI's messages out.

Clients go on after tool calls in many ways: the answer's message pushed back and then one assistant message for each
tool call, those alone, or only the tools' results. Providers want one assistant message that says what it said and calls
what it called, and behind it a result for each call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from control_plane.api.respond.tool_content import tool_content
from control_plane.calls.recent_tools import ToolCallSaid
from control_plane.schemas.chat import plain
from control_plane.schemas.history import SentBack
from control_plane.schemas.respond import AssistantSaid, GivenMessage, GivenToolCall, Said, ToolSaid

Message = dict[str, Any]

UNKNOWN_TOOL = "unknown_tool"


Recall = Callable[[str], ToolCallSaid | None]
"""What a tool call of that id was, where somebody knows."""


@dataclass(slots=True)
class Conversation:
    """Messages in OpenAI's form, and what had to be guessed to bring them there."""

    messages: list[Message] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def conversation(given: Sequence[GivenMessage], *, recall: Recall, tools: Sequence[str]) -> Conversation:
    """The messages as providers take them.

    Assistant messages in a row become one. A tool's result whose call is nowhere gets one back: `recall` says what it
    was, else it is the only one of `tools`, the names the request defines.
    """
    made = Conversation()
    for place, said in enumerate(given):
        if isinstance(said, ToolSaid):
            _add_result(made, said, place, recall=recall, tools=tools)
        elif isinstance(said, AssistantSaid):
            _add_assistant(made, said)
        else:
            made.messages.append(_with_name(said, {"role": said.role, "content": _content(said.content)}))
    for message in made.messages:
        if message["role"] == "assistant" and message.get("tool_calls") and not message["content"]:
            message["content"] = None  # an empty text beside calls is refused by some providers
    return made


def tool_names(tools: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """What the tools of a request are called."""
    return [tool["function"]["name"] for tool in tools or ()]


def _add_assistant(made: Conversation, said: AssistantSaid) -> None:
    calls = [_nested(call) for call in said.tool_calls or ()]
    message = _with_name(said, {"role": "assistant", "content": _content(said.content or "")})
    before = made.messages[-1] if made.messages else None
    if before is not None and before["role"] == "assistant":
        before["content"] = _joined(before["content"], message["content"])
        calls = [*before.get("tool_calls", ()), *calls]
        message = before
    else:
        made.messages.append(message)
    _add_reasoning(message, said)
    if calls:
        message["tool_calls"] = calls


def _add_reasoning(message: Message, said: AssistantSaid) -> None:
    """What goes back as it came. Of one message in several pieces each may repeat it."""
    for name in (*SentBack.model_fields, "refusal"):
        value = plain(getattr(said, name))
        before = message.get(name)
        if value is None or value == before:
            continue
        if isinstance(before, str):
            message[name] = f"{before}\n{value}"
        else:
            message[name] = [*before, *value] if isinstance(before, list) else value


def _add_result(made: Conversation, said: ToolSaid, place: int, *, recall: Recall, tools: Sequence[str]) -> None:
    caller = _caller(made.messages)
    if caller is None:
        caller = {"role": "assistant", "content": ""}
        made.messages.append(caller)
    known = caller.setdefault("tool_calls", [])
    if all(call["id"] != said.tool_call_id for call in known):
        known.append(_rebuilt(made, said, place, recall=recall, tools=tools))
    result = {"role": "tool", "tool_call_id": said.tool_call_id, "content": tool_content(said.content)}
    made.messages.append(_with_name(said, result))


def _caller(messages: Sequence[Message]) -> Message | None:
    """The assistant message that a tool's result here belongs to: the last one, with only results behind it."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            return message
        if message["role"] != "tool":
            return None
    return None


def _rebuilt(made: Conversation, said: ToolSaid, place: int, *, recall: Recall, tools: Sequence[str]) -> Message:
    """The tool call that the client left out."""
    remembered = recall(said.tool_call_id)
    guess = said.name or (tools[0] if len(tools) == 1 else UNKNOWN_TOOL)
    call = remembered or ToolCallSaid(guess, "{}")
    how = "from what was answered before" if remembered else f"as a call of {guess} with its arguments unknown"
    made.warnings.append(
        f"messages.{place}: no assistant message calls {said.tool_call_id!r}; the call was put back {how}. Send the "
        "assistant message with its tool_calls before the results."
    )
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": said.tool_call_id, "type": "function", "function": function}


def _nested(call: GivenToolCall) -> Message:
    if call.function is not None:
        function = {"name": call.function.name, "arguments": call.function.arguments}
    else:
        arguments = call.arguments if isinstance(call.arguments, str) else to_json(call.arguments or {}).decode()
        arguments = arguments if arguments.strip() else "{}"
        function = {"name": call.name or "", "arguments": arguments}
    nested: Message = {"id": call.id, "type": "function", "function": function}
    signed = {name: getattr(call, name) for name in ("provider_specific_fields", "extra_content")}
    return nested | {name: value for name, value in signed.items() if value is not None}


def _content(content: str | Sequence[Any]) -> str | list[Any]:
    """Text as text: some providers take parts only from users. Several parts stay parts."""
    if isinstance(content, str):
        return content
    parts = [plain(part) for part in content]
    if all(part.keys() == {"type", "text"} for part in parts) and len(parts) <= 1:
        return "".join(part["text"] for part in parts)
    return parts


def _joined(first: str | list[Any], second: str | list[Any]) -> str | list[Any]:
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: str | list[Any]) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _with_name(said: Said | AssistantSaid | ToolSaid, message: Message) -> Message:
    return message if said.name is None else {**message, "name": said.name}
