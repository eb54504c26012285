"""The forms in which answers are kept: a chat completion as its events, and the answer of an endpoint that answers at once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import orjson
from pydantic import TypeAdapter

from control_plane.chat import Completion, Ending, EndpointResponse, ServedBy
from control_plane.completion.codec import from_json, to_json
from control_plane.completion.events import Content
from control_plane.units import NanoUsd

FREE = NanoUsd(0)


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """A chat completion that came to its end: a stream's events in their pieces, or those of a buffered answer."""

    events: Sequence[Content]
    ending: Ending
    served: ServedBy

    def completion(self) -> Completion:
        """It as a buffered answer, given again: it costs nothing."""
        return Completion.of(self.events, replace(self.ending, cost=FREE), self.served, is_cached=True)


A = TypeVar("A", EndpointResponse, RecordedAnswer)


@dataclass(frozen=True, slots=True)
class Codec(Generic[A]):
    """How one kind of answer is kept. `name` keeps the kinds apart; `is_whole`: whether the provider itself said so."""

    name: str
    write: Callable[[A], bytes]
    read: Callable[[bytes], A]
    is_whole: Callable[[A], bool]


_ENDING, _SERVED, _PLAIN = TypeAdapter(Ending), TypeAdapter(ServedBy), TypeAdapter(EndpointResponse)


def _write_chat(answer: RecordedAnswer) -> bytes:
    ending = asdict(answer.ending)
    finishes = {str(choice): finish for choice, finish in ending["finishes"].items()}
    kept = {**ending, "finishes": finishes, "cost": FREE}
    try:
        return orjson.dumps({"events": to_json(answer.events), "ending": kept, "served": asdict(answer.served)})
    except TypeError as error:  # a provider's text that is none
        raise ValueError("not JSON") from error


def _read_chat(kept: bytes) -> RecordedAnswer:
    """Raises: ValueError for what `_write_chat` did not write."""
    read: Any = orjson.loads(kept)
    if not isinstance(read, dict):
        raise ValueError("not an answer")  # noqa: TRY004 - kept bytes of another form are a value, not a type
    ending, served = _ENDING.validate_python(read.get("ending")), _SERVED.validate_python(read.get("served"))
    return RecordedAnswer(from_json(read.get("events")), ending, served)


CHAT = Codec("chat", _write_chat, _read_chat, is_whole=lambda answer: answer.ending.is_whole)
PLAIN = Codec(
    "plain",
    lambda answer: _PLAIN.dump_json(replace(answer, cost=FREE, is_cached=True)),
    _PLAIN.validate_json,
    is_whole=lambda _: True,
)
