"""A lock with two queues, for the one connection of SQLite that writes: a server's heartbeat goes before its customers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from control_plane import waiting


class NoTurn(TimeoutError):
    """Others had the connections for the whole wait. The database was not used."""


@asynccontextmanager
async def turn_within(seconds: float) -> AsyncIterator[None]:
    """The block gets a connection in that time, or in what is left of its request's. Raises: NoTurn."""
    try:
        async with asyncio.timeout(waiting.left_s(seconds)):
            yield
    except TimeoutError as error:
        raise NoTurn from error


class Turns:
    """One holder at a time. Urgent waiters go first; otherwise the first to wait is the first."""

    def __init__(self) -> None:
        self._is_taken = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def held(self, *, is_urgent: bool, within_s: float) -> AsyncIterator[None]:
        """Holds the lock for the block. Raises: NoTurn when it was not free in time."""
        async with turn_within(within_s):
            await self._acquire(self._urgent if is_urgent else self._others)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, queue: "deque[asyncio.Future[None]]") -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # _release() may have passed over it already
                    queue.remove(turn)
            else:
                self._release()  # it had become ours in the same moment
            raise

    def _release(self) -> None:
        for queue in (self._urgent, self._others):
            while queue:
                turn = queue.popleft()
                if not turn.cancelled():
                    turn.set_result(None)
                    return
        self._is_taken = False
