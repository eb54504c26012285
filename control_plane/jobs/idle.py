"""Waits for the running calls of a job: one query at a time, however many completions wait."""

import asyncio
from collections.abc import Awaitable, Callable

from control_plane import waiting
from control_plane.ids import JobId

POLL_S = 0.05


class IdleJobs:
    """Jobs whose completion waits here until no call of theirs runs."""

    def __init__(self, is_idle: Callable[[JobId], Awaitable[bool]]) -> None:
        """`is_idle`: whether no call of the job runs; what it raises is raised to all waiters."""
        self._is_idle = is_idle
        self._looking: dict[JobId, asyncio.Task[None]] = {}
        self._waiting: dict[JobId, int] = {}

    async def wait(self, job_id: JobId, timeout_s: float) -> None:
        """Returns when no call of the job runs, or when the time is over. Raises: DatabaseUnavailable."""
        looking = self._looking.get(job_id)
        if looking is None or looking.done():
            with waiting.without_end():  # others may wait for it, for longer than the first
                looking = self._looking[job_id] = asyncio.create_task(self._look(job_id))
        self._waiting[job_id] = self._waiting.get(job_id, 0) + 1
        try:
            await asyncio.wait([looking], timeout=timeout_s)
        finally:
            self._waiting[job_id] -= 1
            if not self._waiting[job_id]:
                del self._waiting[job_id]
                self._looking.pop(job_id).cancel()
        if looking.done():
            looking.result()

    async def _look(self, job_id: JobId) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            if await self._is_idle(job_id):
                return
