"""Events as JSON data and back, for the response cache. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from control_plane.completion.events import Content

KINDS: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(Content)}


def to_json(events: Iterable[Content]) -> list[list[Any]]:
    """Each event as its name and its fields."""
    return [[type(event).__name__, asdict(event)] for event in events]


def from_json(written: Any) -> Sequence[Content]:
    """Reads the output of `to_json`. Raises: ValueError for anything else."""
    try:
        return [KINDS[name](**fields) for name, fields in written]
    except (KeyError, TypeError) as error:
        raise ValueError("not events of an answer") from error
