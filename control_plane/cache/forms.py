"""The forms in which answers are kept: whole, as a stream's pieces, or of an endpoint that answers at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from control_plane.chat import Answer, Chunk, Ending, PlainAnswer, Served
from control_plane.units import NanoUsd

FREE = NanoUsd(0)
USUAL = frozenset({"stop", "length"})
"""Of how answers end. Where a content filter stepped in, it may not the next time."""


@dataclass(frozen=True, slots=True)
class HeardStream:
    """A stream that came to its end, as it was heard."""

    chunks: Sequence[Chunk]
    ending: Ending
    served: Served


A = TypeVar("A", Answer, PlainAnswer, HeardStream)


@dataclass(frozen=True, slots=True)
class Form(Generic[A]):
    """How one kind of answer is kept. `name` keeps the kinds apart; `is_usual`: whether it came to a usual end;
    `again`: how it is given the next time.
    """

    name: str
    adapter: TypeAdapter[A]
    is_usual: Callable[[A], bool]
    again: Callable[[A], A]

    def written(self, answer: A) -> bytes:
        """As it is kept."""
        return self.adapter.dump_json(self.again(answer))

    def read(self, kept: bytes) -> A:
        """What was written. Raises: ValueError for anything else."""
        return self.adapter.validate_json(kept)


WHOLE = Form(
    "whole",
    TypeAdapter(Answer),
    is_usual=lambda answer: {choice.get("finish_reason") for choice in answer.choices} <= USUAL,
    again=lambda answer: replace(answer, cost=FREE, is_cached=True),
)
PLAIN = Form(
    "plain",
    TypeAdapter(PlainAnswer),
    is_usual=lambda _: True,
    again=lambda answer: replace(answer, cost=FREE, is_cached=True),
)
STREAM = Form(
    "stream",
    TypeAdapter(HeardStream),
    is_usual=lambda heard: set(heard.ending.finish_reasons.values()) <= USUAL,
    again=lambda heard: replace(heard, ending=replace(heard.ending, cost=FREE)),
)
