"""Arguments of tool calls in Anthropic's wire: always an object, of which its SDKs parse every piece. Pure."""

import re
from typing import Any, Literal

import orjson

from control_plane.api.wires.tool_arguments import parse_arguments

Kind = Literal["function", "custom"]

BEGINNING = re.compile(r'\s*\{\s*["}]')
UNDECIDED = re.compile(r"\s*(\{\s*)?")


def input_of(kind: Kind, text: str) -> dict[str, Any]:
    """A call's arguments as an object; what a model wrote that is none stands in it as text."""
    if kind == "custom":
        return {"input": text}
    arguments = parse_arguments(text)
    return {"INVALID_JSON": arguments} if isinstance(arguments, str) else arguments


class ObjectArguments:
    """The arguments of one call, piece by piece, as soon as they can only be an object; what is none, at its end."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._held: list[str] = []
        self._is_object: bool | None = False if kind == "custom" else None

    def take(self, text: str) -> str:
        """The part that can be written now."""
        if self._is_object:
            return text
        self._held.append(text)
        if self._is_object is None:
            held = "".join(self._held)
            if BEGINNING.match(held):
                self._is_object = True
                self._held.clear()
                return held
            if UNDECIDED.fullmatch(held):
                self._held = [held.strip()]
            else:
                self._is_object = False
        return ""

    def end(self) -> str:
        """The part that was held back."""
        held = "".join(self._held)
        self._held.clear()
        if self._kind == "function" and not held.strip():
            return ""
        return orjson.dumps(input_of(self._kind, held)).decode()
