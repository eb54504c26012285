"""This process says that it lives; calls of a process that no longer says so are declared lost.

A lost call is one whose process died after the provider may have been reached. It is listed, never hidden, and its
job can be completed.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from control_plane.clock import Clock
from control_plane.credits import risk_store
from control_plane.errors import DatabaseUnavailable
from control_plane.ids import TeamId
from control_plane.jobs import admission, workers_store
from control_plane.jobs.lost import LostCallPolicy, lost_record
from control_plane.jobs.models import Worker
from control_plane.jobs.rules import counted
from control_plane.metrics import Metrics
from control_plane.storage.database import Database

log = logging.getLogger(__name__)

HEARTBEAT_S = 5
NAME = f"{socket.gethostname()}:{os.getpid()}"
LEASE = timedelta(seconds=30)  # six heartbeats: longer than any pause of a process that still works


class Lease:
    """The sign of life of one process. `start()`, then `run()` as a task, then `end()`."""

    def __init__(
        self,
        db: Database,
        worker_id: UUID,
        *,
        clock: Clock,
        metrics: Metrics | None = None,
        policy: LostCallPolicy = LostCallPolicy.ESTIMATE,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._policy = policy
        self._db = db
        self._worker_id = worker_id
        self._clock = clock
        self._is_judge_from = self._started_at = clock()
        self._generation: str | None = None
        self.processes = 1
        """How many servers live on this database, as far as they have said so lately."""
        self.generations: frozenset[str] = frozenset()
        """The versions of the YAML in force at the others, as far as they have said so lately."""

    async def start(self, generation: str | None = None) -> None:
        """Announces this process with its version of the YAML, and on SQLite, where it is the only one, declares every
        other dead.
        """
        self._speak_of(generation)
        await self._renew()
        await self._sweep(timedelta(0) if self._db.is_sqlite else LEASE)

    async def run(self) -> None:
        """Renews the lease until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._renew()
            except DatabaseUnavailable:
                log.warning("heartbeat_failed")
                self._is_judge_from = self._clock() + LEASE  # who could not speak either is not dead

    async def announce(self, generation: str) -> None:
        """This process has another version of the YAML now. The others hear of it with their next sign of life."""
        self._speak_of(generation)
        try:
            await self._renew()
        except DatabaseUnavailable:
            log.warning("heartbeat_failed")  # the next one says it

    async def list_replicas(self) -> Sequence[Worker]:
        """Every server that lives, the oldest first. Raises: DatabaseUnavailable."""
        async with self._db.reader() as reader:
            return await workers_store.list_alive(reader, since=self._clock() - LEASE)

    def _speak_of(self, generation: str | None) -> None:
        self._generation = generation
        if generation is not None:
            self._metrics.config_is(generation)

    async def _renew(self) -> None:
        now = self._clock()
        worker = Worker(
            id=self._worker_id, started_at=self._started_at, seen_at=now, name=NAME, generation=self._generation
        )
        async with self._db.transaction() as tx:
            await workers_store.renew(tx, worker)
            alive = await workers_store.list_alive(tx, since=now - LEASE)
        self.processes = len(alive)
        others = (each.generation for each in alive if each.id != self._worker_id)
        self.generations = frozenset(generation for generation in others if generation is not None)

    async def give_up_dead(self) -> None:
        """Looks for dead processes; a chore of the sweeper. Raises: DatabaseUnavailable."""
        if self._clock() >= self._is_judge_from:
            await self._sweep(LEASE)

    async def end(self) -> None:
        """Takes leave; a call this process left open is found as lost right away."""
        try:
            async with self._db.transaction() as tx:
                await workers_store.remove(tx, [self._worker_id])
        except DatabaseUnavailable:
            log.warning("lease_not_ended")  # it runs out by itself

    async def _sweep(self, lease: timedelta) -> None:
        now = self._clock()
        async with self._db.transaction(is_long=True) as tx:  # a server may have left thousands of calls
            dead = await workers_store.list_silent(tx, self._worker_id, since=now - lease)
            left = await workers_store.list_left_open(tx, dead)
            await risk_store.lock_balances(tx, {TeamId(call.team_id) for call in left})
            lost = [lost_record(call, self._policy, now) for call in left]
            if lost:
                await admission.end_calls(tx, lost, self._worker_id, now=now)
            await workers_store.bury(tx, dead, now)
        for record in lost:
            self._metrics.call_ended(**counted(record))
            log.error("call_lost", extra={"call_id": str(record.intent.call_id), "cost_nano_usd": record.cost})
