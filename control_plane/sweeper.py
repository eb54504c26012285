"""Runs periodic tasks, by one process at a time: lost calls, expired jobs, refills, old rows. `periodic_tasks.py` lists them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from control_plane.errors import DatabaseBusy, DatabaseUnavailable

log = logging.getLogger(__name__)

SWEEP_S = 5.0

PeriodicWork = Callable[[], Awaitable[object]]
"""Does what is due now, in transactions of its own, and may be repeated at any time."""

Claim = Callable[[str], Awaitable[bool]]
"""Whether this process may do the periodic tasks of a name now, and for a while (`Lease.claim`)."""


class Sweeper:
    """Runs every task in turn. Any number of processes may sweep; on Postgres one of them does it at a time.

    `name` separates sweepers: a task of minutes must not delay what is due every few seconds.
    """

    def __init__(self, name: str, tasks: Mapping[str, PeriodicWork], claim: Claim, *, every_s: float = SWEEP_S) -> None:
        """`every_s`: between two sweeps, and between two renewals of the claim; far below what a claim holds for."""
        self._name = name
        self._tasks = tasks
        self._claim = claim
        self._every_s = every_s

    async def run(self) -> None:
        """Sweeps until cancelled. Run it as a task of the runtime."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.sweep()
            except DatabaseUnavailable:
                log.warning("sweep_failed")

    async def sweep(self) -> bool:
        """Does every task once; False when another process is doing them. Raises: DatabaseUnavailable.

        A task that fails is logged and does not keep the others from being done.
        """
        if not await self._claim(self._name):
            return False
        renewing = asyncio.create_task(self._renew(), name=f"claim of {self._name}")
        try:
            for name, work in self._tasks.items():
                await self._do(name, work)
        finally:
            renewing.cancel()
        return True

    async def _renew(self) -> None:
        """Keeps the claim while tasks run. When it fails another process may do the same meanwhile, which only costs."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._claim(self._name)
            except DatabaseUnavailable:
                log.warning("claim_not_renewed", extra={"tasks": self._name})

    async def _do(self, name: str, work: PeriodicWork) -> None:
        try:
            await work()
        except DatabaseBusy:
            log.warning(
                "periodic_task_postponed", extra={"task": name}
            )  # a lock that is held elsewhere: the next sweep does it
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("periodic_task_failed", extra={"task": name})
