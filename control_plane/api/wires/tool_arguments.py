"""Arguments of tool calls as objects: models write them as JSON text. Pure."""

from typing import Any

from pydantic_core import from_json

from control_plane.schemas.base import MAX_DEPTH


def parse_arguments(text: str) -> dict[str, Any] | str:
    """The arguments of a tool call as an object, {} where the model wrote nothing; the text itself where it is none."""
    if not text.strip():
        return {}
    try:
        arguments = from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
    return arguments if isinstance(arguments, dict) and not _is_deep(arguments) else text


def _is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Whether it is nested deeper than an answer can be written."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_is_deep(inner, levels - 1) for inner in (value.values() if isinstance(value, dict) else value))
