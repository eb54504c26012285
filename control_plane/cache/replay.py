"""A recorded answer as a stream: an `AnswerStream` without a provider."""

from collections import deque
from collections.abc import Mapping
from typing import Self

from control_plane.cache.forms import RecordedAnswer
from control_plane.chat import Served
from control_plane.completion.events import Content
from control_plane.completion.finish import Finish
from control_plane.completion.usage import Usage
from control_plane.units import NanoUsd


class ReplayedStream:
    """Event by event as it came then; nothing has to be closed."""

    def __init__(self, recorded: RecordedAnswer) -> None:
        self._recorded = recorded
        self._events = deque(recorded.events)

    @property
    def served(self) -> Served:
        """Who answered then."""
        return self._recorded.served

    @property
    def input_usage(self) -> Usage | None:
        """The answer's."""
        return self._recorded.ending.usage

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Content:
        """The next event."""
        if not self._events:
            raise StopAsyncIteration
        return self._events.popleft()

    @property
    def has_next(self) -> bool:
        """Whether there is another."""
        return bool(self._events)

    def finishes(self) -> Mapping[int, Finish]:
        """How it ended then."""
        return self._recorded.ending.finishes

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """The answer's tokens, which cost nothing this time."""
        return self._recorded.ending.usage, NanoUsd(0)

    async def aclose(self) -> None:
        """Nothing is open."""
