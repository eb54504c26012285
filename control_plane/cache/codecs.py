"""Codecs of the response cache: a chat completion as its events, and the response of an endpoint with a single one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import orjson
from pydantic import TypeAdapter

from control_plane.chat import ChatRequest, Completion, Ending, EndpointResponse, ModelRequest, ServedBy
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
        """The cached answer as a buffered one: it costs nothing."""
        return Completion.of(self.events, replace(self.ending, cost=FREE), self.served, is_cached=True)


A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Codec(Generic[A]):
    """How one kind of answer is stored. `name` separates the kinds; `is_whole`: whether the provider marked it as
    complete.
    """

    name: str
    write: Callable[[A], bytes]
    read: Callable[[bytes], A]
    is_whole: Callable[[A], bool]


_ENDING, _SERVED, _ENDPOINT = TypeAdapter(Ending), TypeAdapter(ServedBy), TypeAdapter(EndpointResponse)


def _write_chat(answer: RecordedAnswer) -> bytes:
    ending = asdict(answer.ending)
    finishes = {str(choice): finish for choice, finish in ending["finishes"].items()}
    cached = {**ending, "finishes": finishes, "cost": FREE}
    try:
        return orjson.dumps({"events": to_json(answer.events), "ending": cached, "served": asdict(answer.served)})
    except TypeError as error:  # a provider's text that is none
        raise ValueError("not JSON") from error


def _read_chat(cached: bytes) -> RecordedAnswer:
    """Raises: ValueError for what `_write_chat` did not write."""
    read: Any = orjson.loads(cached)
    if not isinstance(read, dict):
        raise ValueError("not an answer")  # noqa: TRY004 - cached bytes of another form are a value, not a type
    ending, served = _ENDING.validate_python(read.get("ending")), _SERVED.validate_python(read.get("served"))
    return RecordedAnswer(from_json(read.get("events")), ending, served)


def _write_completion(answer: Completion) -> bytes:
    return _write_chat(RecordedAnswer(answer.events, answer.ending, answer.served))


CHAT = Codec("chat", _write_chat, _read_chat, is_whole=lambda answer: answer.ending.is_whole)
COMPLETION = Codec(
    CHAT.name,
    _write_completion,
    lambda cached: _read_chat(cached).completion(),
    is_whole=lambda answer: answer.ending.is_whole,
)
"""Of buffered chat calls, which share their entries with streams."""
ENDPOINT = Codec(
    "plain",
    lambda answer: _ENDPOINT.dump_json(replace(answer, cost=FREE, is_cached=True)),
    _ENDPOINT.validate_json,
    is_whole=lambda _: True,
)


def codec_of(request: ModelRequest) -> Codec[Any]:
    """The codec of a buffered answer to the request."""
    return COMPLETION if isinstance(request, ChatRequest) else ENDPOINT
