"""What has to be done from time to time, by one process at a time: lost calls, jobs past their time, refills, old rows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from control_plane.errors import DatabaseUnavailable
from control_plane.storage.database import Database

log = logging.getLogger(__name__)

SWEEP_S = 5.0

Chore = Callable[[], Awaitable[object]]
"""Does what is due now, in transactions of its own, and may be repeated at any time."""


class Sweeper:
    """Runs every chore in turn. Any number of processes may sweep; on Postgres one of them does it at a time.

    `name` tells sweepers apart: what takes minutes must not keep waiting what is due every few seconds.
    """

    def __init__(self, db: Database, name: str, chores: Mapping[str, Chore]) -> None:
        self._db = db
        self._name = name
        self._chores = chores

    async def run(self) -> None:
        """Sweeps until cancelled. Run it as a task of the runtime."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except DatabaseUnavailable:
                log.warning("sweep_failed")

    async def sweep(self) -> bool:
        """Does every chore once; False when another process is doing them. Raises: DatabaseUnavailable.

        A chore that fails is logged and does not keep the others from being done.
        """
        async with self._db.alone(self._name) as is_mine:
            if is_mine:
                for name, chore in self._chores.items():
                    await self._do(name, chore)
        return is_mine

    async def _do(self, name: str, chore: Chore) -> None:
        try:
            await chore()
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("chore_failed", extra={"chore": name})
