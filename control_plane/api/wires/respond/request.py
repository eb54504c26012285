"""Converts a client's conversation to the form that every provider accepts. Pure: bodies in, OpenAI's messages out.

Clients continue after tool calls in many ways: the answer's message pushed back and then one assistant message for each
tool call, those alone, or only the tools' results. Providers want one assistant message with its text and all its tool
calls, followed by a result for each call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from control_plane.api.wires.respond.schema import (
    AssistantSaid,
    GivenMessage,
    GivenToolCall,
    Plugin,
    RespondBody,
    Said,
    ToolSaid,
)
from control_plane.api.wires.respond.tool_content import tool_content
from control_plane.api.wires.run_call import ParsedCall
from control_plane.calls.tool_call_cache import RememberedToolCall
from control_plane.chat import ChatRequest
from control_plane.documents.parts import text_length
from control_plane.documents.service import Engine
from control_plane.schemas.chat import plain
from control_plane.schemas.history import SentBack

Message = dict[str, Any]

UNKNOWN_TOOL = "unknown_tool"

FILE_PARSER = "file-parser"
"""The plugin that selects how PDFs are read."""

MAX_WARNINGS = 20
"""Of one kind; what is more is counted."""
MAX_ID_CHARS = 200
"""Of a client's id in a warning."""


Recall = Callable[[str], RememberedToolCall | None]
"""Finds a recent tool call by its id."""


@dataclass(slots=True)
class Conversation:
    """Messages in OpenAI's form, and what had to be guessed to bring them there."""

    messages: list[Message] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRespond(ParsedCall):
    """`engine`: reads the PDFs. `warnings`: of the response; reading the files adds to them."""

    engine: Engine | None
    warnings: list[str]


def parse_request(body: RespondBody, *, recall: Recall, job_type: str) -> ParsedRespond:
    """The call. `recall` as of `conversation`; `job_type`: of the call's own job."""
    parameters = body.given_parameters()
    talk = conversation(body.messages, recall=recall, tools=_tool_names(parameters.get("tools")))
    engine, ignored = _engine(body.plugins or ())
    return ParsedRespond(
        request=ChatRequest(talk.messages, parameters),
        chars=text_length(talk.messages),
        counted="messages have",
        model_group=body.model,
        job_type=job_type,
        is_stream=body.stream,
        engine=engine,
        warnings=[*talk.warnings, *ignored],
    )


def conversation(given: Sequence[GivenMessage], *, recall: Recall, tools: Sequence[str]) -> Conversation:
    """The messages in the providers' form. One pass, linear in the size of the messages.

    Consecutive assistant messages become one. A tool's result without its call gets the call back: from `recall`, else
    it is the only one of `tools`, the names the request defines.
    """
    building = _Building(recall, tools)
    for place, said in enumerate(given):
        if isinstance(said, ToolSaid):
            building.add_result(said, place)
        elif isinstance(said, AssistantSaid):
            building.add_assistant(said)
        else:
            building.add(_with_name(said, {"role": said.role, "content": _content(said.content)}))
    return building.finished()


def _tool_names(tools: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return [tool["function"]["name"] for tool in tools or ()]


def _engine(plugins: Sequence[Plugin]) -> tuple[Engine | None, list[str]]:
    """The PDF engine, and the warnings about ignored plugins."""
    engine = None
    warnings = []
    for plugin in plugins:
        if plugin.id == FILE_PARSER:
            engine = plugin.pdf.engine if plugin.pdf else None
        else:
            warnings.append(f"plugins: '{plugin.id}' is not supported and was ignored; only '{FILE_PARSER}' is.")
    return engine, warnings


class _Turn:
    """Assistant messages in a row while they become one. Pieces are collected and joined once."""

    def __init__(self, message: Message) -> None:
        """`message`: what the turn becomes; its content, tool calls and reasoning are filled in by `close`."""
        self.message = message
        self._contents: list[str | list[Any]] = []
        self._reasoning: dict[str, list[Any]] = {}
        self._calls: list[Message] = []
        self._ids: set[str] = set()

    def add(self, said: AssistantSaid) -> None:
        content = _content(said.content or "")
        if content:
            self._contents.append(content)
        for name in (*SentBack.model_fields, "refusal"):
            value = plain(getattr(said, name))
            if value is not None:
                self._add_reasoning(name, value)
        for call in said.tool_calls or ():
            self.add_call(_nested(call))

    def has_call(self, call_id: str) -> bool:
        return call_id in self._ids

    def add_call(self, call: Message) -> None:
        self._calls.append(call)
        self._ids.add(call["id"])

    def close(self) -> None:
        content = _joined(self._contents)
        if self._calls:
            self.message["tool_calls"] = self._calls
        # an empty text beside calls is refused by some providers
        self.message["content"] = None if self._calls and not content else content
        for name, values in self._reasoning.items():
            self.message[name] = _joined_reasoning(values)

    def _add_reasoning(self, name: str, value: Any) -> None:
        """Fields that are sent back unchanged. Several pieces of one message may each repeat the first."""
        values = self._reasoning.setdefault(name, [])
        if len(values) != 1 or value != values[0]:
            values.append(value)


class _Building:
    """A conversation under construction."""

    def __init__(self, recall: Recall, tools: Sequence[str]) -> None:
        self._recall = recall
        self._tools = tools
        self._made = Conversation()
        self._guessed = 0
        self._turn: _Turn | None = None
        """The assistant's last turn, as long as only its tools' results stand behind it."""

    def add(self, message: Message) -> None:
        self._close()
        self._made.messages.append(message)

    def add_assistant(self, said: AssistantSaid) -> None:
        is_going_on = self._turn is not None and self._made.messages[-1] is self._turn.message
        turn = self._turn if self._turn is not None and is_going_on else self._begin(said)
        turn.add(said)

    def add_result(self, said: ToolSaid, place: int) -> None:
        turn = self._turn or self._begin()
        if not turn.has_call(said.tool_call_id):
            turn.add_call(self._rebuilt(said, place))
        result = {"role": "tool", "tool_call_id": said.tool_call_id, "content": tool_content(said.content)}
        self._made.messages.append(_with_name(said, result))

    def finished(self) -> Conversation:
        self._close()
        if self._guessed > MAX_WARNINGS:
            self._made.warnings.append(f"{self._guessed - MAX_WARNINGS} more calls of tools were put back so.")
        return self._made

    def _begin(self, said: AssistantSaid | None = None) -> _Turn:
        self._close()
        message: Message = {"role": "assistant", "content": ""}
        self._turn = _Turn(message if said is None else _with_name(said, message))
        self._made.messages.append(self._turn.message)
        return self._turn

    def _close(self) -> None:
        if self._turn is not None:
            self._turn.close()
        self._turn = None

    def _rebuilt(self, said: ToolSaid, place: int) -> Message:
        """The tool call that the client left out."""
        remembered = self._recall(said.tool_call_id)
        guess = said.name or (self._tools[0] if len(self._tools) == 1 else UNKNOWN_TOOL)
        call = remembered or RememberedToolCall(guess, "{}")
        how = "from what was answered before" if remembered else f"as a call of {guess} with its arguments unknown"
        self._guessed += 1
        if self._guessed <= MAX_WARNINGS:
            self._made.warnings.append(
                f"messages.{place}: no assistant message calls {said.tool_call_id[:MAX_ID_CHARS]!r}; the call was put back "
                f"{how}. Send the assistant message with its tool_calls before the results."
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


def _joined(contents: Sequence[str | list[Any]]) -> str | list[Any]:
    texts = [content for content in contents if isinstance(content, str)]
    if len(texts) == len(contents):
        return "\n".join(texts)
    return [part for content in contents for part in _parts(content)]


def _joined_reasoning(values: Sequence[Any]) -> Any:
    """Texts are joined, lists too; of anything else the last counts."""
    if len(values) == 1:
        return values[0]
    if all(isinstance(value, str) for value in values):
        return "\n".join(values)
    if all(isinstance(value, list) for value in values):
        return [item for value in values for item in value]
    return values[-1]


def _parts(content: str | list[Any]) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _with_name(said: Said | AssistantSaid | ToolSaid, message: Message) -> Message:
    return message if said.name is None else {**message, "name": said.name}
