"""Worker heartbeat. Calls of a worker whose lease ran out are marked `lost`.

A lost call is one whose process died after the provider may have been reached. It is listed, never hidden, and its
job can be completed. Leases are written and compared by the database's clock.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from control_plane.clock import Clock
from control_plane.credits import risk_store
from control_plane.errors import DatabaseUnavailable
from control_plane.ids import TeamId
from control_plane.jobs import admission
from control_plane.jobs.lost import LostCallPolicy, lost_record
from control_plane.jobs.rules import Record, counted
from control_plane.metrics import Metrics
from control_plane.replicas import store as workers_store
from control_plane.replicas.heartbeat import MOST_SKEW, Heartbeat, least_skew
from control_plane.replicas.models import Worker
from control_plane.storage.database import Database, Tx
from control_plane.storage.tx import database_now

log = logging.getLogger(__name__)

NAME = f"{socket.gethostname()}:{os.getpid()}"
LEASE = timedelta(seconds=30)  # longer than any pause of a process that still works
RETRY_S = 0.5
CHECK_S = 1.0
"""A heartbeat of so long ago answers a readiness probe, too."""

REACH = timedelta(minutes=15)
"""How far before a worker's last heartbeat its calls may have been opened to be searched for later writes."""


class Lease:
    """The lease of one process. `start()`, then `run()` as a task, then `end()`."""

    def __init__(
        self,
        db: Database,
        worker_id: UUID,
        *,
        clock: Clock,
        background: Database | None = None,
        metrics: Metrics | None = None,
        policy: LostCallPolicy = LostCallPolicy.ESTIMATE,
        lease: timedelta = LEASE,
    ) -> None:
        """`db`: a connection for the heartbeat alone; `background`: those that calls of dead workers are ended with."""
        self._metrics = metrics or Metrics()
        self._policy = policy
        self._db = db
        self._background = background or db
        self._worker_id = worker_id
        self._clock = clock
        self._heartbeat = Heartbeat(lease)
        self._started_at: datetime | None = None
        self._generation: str | None = None
        self._renewing = asyncio.Lock()
        self._failure: tuple[float, DatabaseUnavailable] | None = None
        self.processes = 1
        """The number of servers on this database, as of the last heartbeat."""
        self.generations: frozenset[str] = frozenset()
        """The versions of the YAML in force at the others, as of their last heartbeats."""
        self._metrics.watch_lease(age=lambda: self._heartbeat.age_s(time.monotonic()) / lease.total_seconds())

    @property
    def is_overdue(self) -> bool:
        """Whether this process could not renew its lease for half of it: it may begin nothing until it can."""
        return self._heartbeat.is_overdue(time.monotonic())

    async def start(self, generation: str | None = None) -> None:
        """Announces this process with its version of the YAML, and on SQLite, where it is the only one, declares every
        other dead. On Postgres the others have two heartbeats' time: the database may have been away for all.
        """
        self._set_generation(generation)
        await self._renew()
        if self._db.is_sqlite:
            await self._sweep(timedelta(0))
        else:
            self._heartbeat.judge_from(time.monotonic() + 2 * self._heartbeat.every_s)

    async def run(self) -> None:
        """Renews the lease until cancelled. A heartbeat that fails is repeated at once, until one succeeds."""
        while True:
            await asyncio.sleep(self._heartbeat.every_s)
            pause_s = 0.0
            while not await self._renewed():
                await asyncio.sleep(pause_s)
                pause_s = RETRY_S

    async def announce(self, generation: str) -> None:
        """This process has another version of the YAML now. The others learn of it with their next heartbeat."""
        self._set_generation(generation)
        await self._renewed()  # or the next one

    async def check(self) -> None:
        """Proves that the database accepts writes, by a heartbeat: at most one a second for all callers.

        Raises: DatabaseUnavailable.
        """
        async with self._renewing:
            now = time.monotonic()
            if self._heartbeat.age_s(now) < CHECK_S:
                return
            if self._failure is not None and now - self._failure[0] < CHECK_S:
                raise DatabaseUnavailable(retry_after_s=self._failure[1].retry_after_s) from self._failure[1]
            await self._write()

    async def list_replicas(self) -> Sequence[Worker]:
        """Every server that lives, the oldest first. Raises: DatabaseUnavailable."""
        async with self._background.reader() as reader:
            now = await database_now(reader, self._clock)
            return await workers_store.list_alive(reader, since=now - self._heartbeat.lease)

    async def claim(self, task: str) -> bool:
        """Whether this process may do these periodic tasks now: no other does, and its clock and lease are valid.

        The claim holds for a lease. Raises: DatabaseUnavailable.
        """
        if not self._heartbeat.may_judge(time.monotonic()):
            return False
        if self._db.is_sqlite:
            return True

        async def claimed(tx: Tx) -> bool:
            now = await self._database_now(tx)
            if self._heartbeat.is_skewed:
                return False
            until = now + self._heartbeat.lease
            return await workers_store.claim_task(tx, task, self._worker_id, now=now, until=until)

        return await self._db.run_in_thread(claimed)

    async def give_up_dead(self) -> None:
        """Finds dead processes and gives up their calls; a task of the sweeper. Raises: DatabaseUnavailable."""
        if self._heartbeat.may_judge(time.monotonic()):
            await self._sweep(self._heartbeat.lease)

    async def end(self) -> None:
        """Takes leave; a call this process left open is found as lost right away."""
        try:
            async with self._db.transaction() as tx:
                await workers_store.remove(tx, [self._worker_id])
                await workers_store.give_up_tasks(tx, self._worker_id)
        except DatabaseUnavailable:
            log.warning("lease_not_ended")  # it runs out by itself

    def _set_generation(self, generation: str | None) -> None:
        self._generation = generation
        if generation is not None:
            self._metrics.config_is(generation)

    async def _renewed(self) -> bool:
        age_s = round(self._heartbeat.age_s(time.monotonic()))
        try:
            await self._renew()
        except DatabaseUnavailable as error:
            log.warning("heartbeat_failed", extra={"code": error.code, "lease_age_s": age_s})
            return False
        if age_s > self._heartbeat.lease.total_seconds() / 2:
            log.warning("lease_was_overdue", extra={"lease_age_s": age_s})
        return True

    async def _renew(self) -> None:
        async with self._renewing:
            await self._write()

    async def _write(self) -> None:
        """One heartbeat, in one transaction. Raises: DatabaseUnavailable."""
        begun_at = time.monotonic()
        try:
            alive = await self._db.run_in_thread(self._beat)
        except DatabaseUnavailable as error:
            self._heartbeat.failed(time.monotonic())
            self._failure = (time.monotonic(), error)
            raise
        self._heartbeat.renewed(begun_at)
        self._failure = None
        self.processes = len(alive)
        others = (each.generation for each in alive if each.id != self._worker_id)
        self.generations = frozenset(generation for generation in others if generation is not None)

    async def _beat(self, tx: Tx) -> Sequence[Worker]:
        now = await self._database_now(tx)
        self._started_at = self._started_at or now
        worker = Worker(
            id=self._worker_id, started_at=self._started_at, seen_at=now, name=NAME, generation=self._generation
        )
        await workers_store.renew(tx, worker)
        return await workers_store.list_alive(tx, since=now - self._heartbeat.lease)

    async def _database_now(self, tx: Tx) -> datetime:
        """The time by the database's clock. Notes how far ours is from it."""
        before = self._clock()
        now = await database_now(tx, self._clock)
        was_skewed = self._heartbeat.is_skewed
        self._heartbeat.skew = least_skew(before, now, self._clock())
        seconds = self._heartbeat.skew.total_seconds()
        self._metrics.clock_differs(seconds)
        if self._heartbeat.is_skewed and not was_skewed:
            log.error("clock_skewed", extra={"database_ahead_s": round(seconds, 1)})
        return now

    async def _sweep(self, lease: timedelta) -> None:
        async with self._background.transaction(is_long=True) as tx:  # a server may have left thousands of calls
            now = await self._database_now(tx)
            if self._heartbeat.is_skewed:
                return
            lost = await self._give_up(tx, now, lease)
        for record in lost:
            self._metrics.call_ended(**counted(record))
            log.error("call_lost", extra={"call_id": str(record.intent.call_id), "cost_nano_usd": record.cost})

    async def _give_up(self, tx: Tx, now: datetime, lease: timedelta) -> Sequence[Record]:
        silent = await workers_store.list_silent(tx, self._worker_id, since=now - lease)
        writing = await workers_store.list_writing(tx, silent, since=now - lease, until=now + MOST_SKEW, reach=REACH)
        for worker_id in writing:
            log.warning("heartbeat_missing", extra={"worker_id": str(worker_id)})
        dead = [each for each in silent if each not in writing]
        left = await workers_store.list_left_open(tx, dead)
        await risk_store.lock_balances(tx, {TeamId(call.team_id) for call in left})
        lost = [lost_record(call, self._policy, now) for call in left]
        if lost:
            await admission.end_calls(tx, lost, now=now)
        await workers_store.bury(tx, dead, now)
        return lost
