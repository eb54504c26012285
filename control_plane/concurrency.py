"""TeamLimiter for work that takes much memory or time: so many at once, of which each team may have some."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class TeamLimiter:
    """A team that wants more than its share waits for its own work to end, and nobody else does."""

    def __init__(self, run_in_thread: int, *, of_a_team: int) -> None:
        self._all = asyncio.Semaphore(run_in_thread)
        self._of_a_team = of_a_team
        self._teams: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, team: str) -> AsyncIterator[None]:
        """A place, as soon as one is free for this team."""
        own = self._teams.get(team)
        if own is None:
            own = self._teams[team] = asyncio.Semaphore(self._of_a_team)
        async with own, self._all:
            yield
