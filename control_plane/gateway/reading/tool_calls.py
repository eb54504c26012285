"""Assembles the tool calls of one choice from the chunks of providers. Pure.

Providers leave out or repeat ids, names and indexes, send them late, or number every call 0. What is certain: a new,
non-empty id begins a call, and so does a name behind complete arguments.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import orjson

from control_plane.completion.events import Event, ToolCallArguments, ToolCallBegun, ToolCallEnded
from control_plane.completion.json_end import JsonEnd
from control_plane.gateway.reading.json_text import Halves, whole_json, whole_text

UNKNOWN_TOOL = "unknown_tool"
"""For a call that the provider never named, where the request offers more than one tool. A valid name in a history."""

MOST_WAITING = 4096
"""Characters of arguments that wait for a late name or id."""

MOST_NAME = 1000
"""Characters of a name or an id."""

MOST_CALLS = 1000
"""Of one choice; a provider that sends more is broken."""

MOST_LOOKED_AT = 65_536
"""Characters of arguments up to which completeness is checked."""

USUAL = frozenset({"index", "id", "type", "function", "custom", "name", "arguments", "input", "parameters"})


Kind = Literal["function", "custom"]


@dataclass(slots=True)
class _Call:
    """A tool call while it arrives. `waiting`: arguments that are not written yet; `said`: written ones."""

    number: int
    kind: Kind
    id: str = ""
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    length: int = 0
    is_begun: bool = False
    end: JsonEnd = field(default_factory=JsonEnd)
    is_valid: bool | None = None

    def written(self) -> str:
        """Its arguments so far."""
        return "".join((*self.said, *self.waiting))

    def has(self, arguments: str) -> bool:
        """Whether these are its arguments so far."""
        return len(arguments) == self.length and self.written() == arguments

    def add(self, arguments: str) -> None:
        """The next piece of its arguments."""
        self.waiting.append(arguments)
        self.length += len(arguments)
        self.end.take(arguments)
        self.is_valid = None

    def is_whole(self) -> bool:
        """Whether its arguments are a JSON object or array by themselves. They are parsed when one ends, so seldom more
        than once: some providers repeat the name with every piece.
        """
        if self.length > MOST_LOOKED_AT or not self.end.is_reached:
            return False
        if self.is_valid is None:
            self.is_valid = _is_json(self.written())
        return self.is_valid


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


class TooManyCalls(ValueError):
    """A provider sends tool calls without an end."""


class ToolCallReader:
    """Feed it the items of `tool_calls`, in their order; it returns the events they make."""

    def __init__(self, choice: int, tools: Sequence[str], halves: Halves) -> None:
        """`tools`: the names that the request offers. `halves`: of the answer's texts."""
        self._halves = halves
        self._choice = choice
        self._tools = tools
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int | str, _Call] = {}

    def take(self, item: Mapping[str, Any]) -> list[Event]:
        """A call, or a piece of one. Raises: TooManyCalls."""
        kind, function = _function(item)
        name, said_id = _text(function.get("name")), _text(item.get("id"))
        index = found if isinstance(found := item.get("index"), int | str) else None
        arguments = _arguments(function, kind)
        known = self._by_id.get(said_id) if said_id else None
        if known is not None and name and arguments and known.has(arguments):
            return []  # the whole call once more
        events: list[Event] = []
        call = self._call_of(known, index, said_id, name) or self._add(index, kind, events)
        if said_id and not call.id:
            call.id = said_id if known is None else _new_id()
            self._by_id[said_id] = call
        if name and not call.is_begun:
            call.name = _joined(call.name, name)
        if not item.keys() <= USUAL:
            extra = {key: value for key, value in item.items() if key not in USUAL and value is not None}
            call.extra.update(whole_json(extra))
        arguments = self._halves.join(arguments, (call.number, self._choice))
        if arguments:
            call.add(arguments)
            self._write(call, events)
        return events

    def end(self) -> list[Event]:
        """The waiting parts, and the end of every call."""
        events: list[Event] = []
        for call in self._calls:
            if half := self._halves.rest((call.number, self._choice)):
                call.add(half)
            self._write(call, events, is_last=True)
            if call.kind == "function" and not call.written().strip():  # clients parse them
                events.append(ToolCallArguments(call.number, "{}", self._choice))
        events += [ToolCallEnded(call.number, self._choice) for call in self._calls]
        self._calls.clear()
        return events

    def _call_of(self, known: _Call | None, index: int | str | None, said_id: str, name: str) -> _Call | None:
        """The call that a chunk belongs to; None: it begins one. `known`: the latest call of its id."""
        if known is not None:
            return None if name and known.is_whole() else known
        call = self._by_index.get(index) if index is not None else (self._calls[-1] if self._calls else None)
        if call is None:
            return None
        if said_id and (call.id or (name and call.name)):
            return None
        if name != call.name and name in self._tools and call.name in self._tools:
            return None
        return None if name and call.is_whole() else call

    def _add(self, index: int | str | None, kind: Kind, events: list[Event]) -> _Call:
        if len(self._calls) >= MOST_CALLS:
            raise TooManyCalls(f"more than {MOST_CALLS} tool calls")
        if self._calls and (index is None or index in self._by_index):
            self._write(self._calls[-1], events, is_last=True)
        call = _Call(len(self._calls), kind)
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _write(self, call: _Call, events: list[Event], *, is_last: bool = False) -> None:
        """Writes the call's beginning, as soon as it is complete, and the arguments that wait. Calls begin in their
        order.
        """
        if not call.is_begun:
            is_known = call.id and call.name and call.waiting  # a name may come in pieces, before the arguments
            if not is_last and not is_known and call.length <= MOST_WAITING:
                return
            for earlier in self._calls[: call.number]:
                if not earlier.is_begun:
                    self._write(earlier, events, is_last=True)
            call.is_begun = True
            call.id = call.id or _new_id()
            call.name = call.name or (self._tools[0] if len(self._tools) == 1 else UNKNOWN_TOOL)
            events.append(ToolCallBegun(call.number, call.id, call.name, call.kind, call.extra or None, self._choice))
        for text in call.waiting:
            events.append(ToolCallArguments(call.number, text, self._choice))
            call.said.append(text)
        call.waiting.clear()


def _new_id() -> str:
    return f"call_{uuid4().hex}"


def _function(item: Mapping[str, Any]) -> tuple[Kind, Mapping[str, Any]]:
    kinds: tuple[Kind, ...] = ("function", "custom")
    for kind in kinds:
        if isinstance(found := item.get(kind), dict):
            return kind, found
    return "function", item  # flat: name and arguments beside the id


def _arguments(function: Mapping[str, Any], kind: str) -> str:
    found = function.get("input") if kind == "custom" else function.get("arguments")
    if found is None and kind == "function":
        found = function.get("input") or function.get("parameters")
    if found is None or isinstance(found, str):
        return found or ""
    return json.dumps(whole_json(found), ensure_ascii=False, separators=(",", ":"))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None or value is False else str(value)
    return whole_text(text.strip()[:MOST_NAME])


def _joined(before: str, name: str) -> str:
    """A name in pieces: repeated, grown, or the next piece of it."""
    if before == name:
        return name
    return name if name.startswith(before) else before + name
