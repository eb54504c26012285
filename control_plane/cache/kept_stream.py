"""A stream that was heard before, given again: an `AnswerStream` without a provider."""

from dataclasses import replace
from typing import Self

from control_plane.cache.forms import HeardStream
from control_plane.chat import Chunk, Ending, Served
from control_plane.completion.usage import Usage
from control_plane.units import NanoUsd


class KeptStream:
    """Piece by piece as it came then; nothing has to be closed."""

    def __init__(self, heard: HeardStream) -> None:
        self._heard = heard
        self._chunks = iter(heard.chunks)

    @property
    def served(self) -> Served:
        """Who answered then."""
        return self._heard.served

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """The next piece."""
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    def ending(self, usage: Usage) -> Ending:
        """How it ended then."""
        return replace(self._heard.ending, usage=usage)

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """The answer's tokens, which cost nothing this time."""
        return self._heard.ending.usage, NanoUsd(0)

    async def aclose(self) -> None:
        """Nothing is open."""
