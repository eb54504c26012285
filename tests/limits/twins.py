"""Both ways to count, behind one face and a clock that the test moves."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from control_plane.limits.process import ProcessLimits
from control_plane.limits.rules import Acquired, Exceeded, LimitScope
from control_plane.limits.shared import SharedLimits

START_MS = 1_800_000_000_037
"""Somewhere within a tick."""


class Twin(ABC):
    """Counts; `now_ms` is its time."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._calls = count()

    async def take(self, scopes: Sequence[LimitScope], tokens: int = 0) -> Acquired | Exceeded:
        return await self._take(scopes, f"call-{next(self._calls)}", tokens)

    @abstractmethod
    async def _take(self, scopes: Sequence[LimitScope], call: str, tokens: int) -> Acquired | Exceeded: ...

    @abstractmethod
    async def settle(self, taken: Acquired, used: int | None) -> None: ...


class Process(Twin):
    def __init__(self) -> None:
        super().__init__()
        self._limits = ProcessLimits(clock_ms=lambda: self.now_ms)

    async def _take(self, scopes: Sequence[LimitScope], call: str, tokens: int) -> Acquired | Exceeded:
        return self._limits.take(scopes, call, tokens)

    async def settle(self, taken: Acquired, used: int | None) -> None:
        self._limits.settle(taken, used)


class Shared(Twin):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._limits = SharedLimits(url, clock_ms=lambda: self.now_ms, answer_s=30)

    async def _take(self, scopes: Sequence[LimitScope], call: str, tokens: int) -> Acquired | Exceeded:
        return await self._limits.take(scopes, call, tokens)

    async def settle(self, taken: Acquired, used: int | None) -> None:
        await self._limits.settle([(taken, used)])

    async def aclose(self) -> None:
        await self._limits.aclose()


@asynccontextmanager
async def shared(url: str) -> AsyncIterator[Shared]:
    twin = Shared(url)
    try:
        yield twin
    finally:
        await twin.aclose()
