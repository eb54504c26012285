"""A cached answer as a stream: an `AnswerStream` without a provider."""

from collections.abc import Mapping, Sequence
from typing import Self

from control_plane.cache.codecs import RecordedAnswer
from control_plane.chat import ServedBy
from control_plane.completion.events import Content
from control_plane.completion.finish import Finish
from control_plane.completion.usage import Usage
from control_plane.units import NanoUsd


class ReplayedStream:
    """Its events in the pieces they came in then, all at once; nothing has to be closed."""

    def __init__(self, recorded: RecordedAnswer) -> None:
        self._recorded = recorded
        self._events: Sequence[Content] = recorded.events

    @property
    def served(self) -> ServedBy:
        """The deployment that served the original answer."""
        return self._recorded.served

    @property
    def input_usage(self) -> Usage | None:
        """The answer's."""
        return self._recorded.ending.usage

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Content]:
        """All events, once."""
        events, self._events = self._events, ()
        if not events:
            raise StopAsyncIteration
        return events

    def finishes(self) -> Mapping[int, Finish]:
        """The finish reasons of the original answer."""
        return self._recorded.ending.finishes

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """The answer's tokens, which cost nothing this time."""
        return self._recorded.ending.usage, NanoUsd(0)

    async def aclose(self) -> None:
        """Nothing is open."""
