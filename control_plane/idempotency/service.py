"""Idempotent requests: a repetition with the same key gets the first response, and nothing is done twice.

Only successful responses are stored: after any other, a retry must be able to succeed. A request that failed, or whose
process died, is resumed by the next with its key, under the same `subject_id`: the id of what it creates, so that
existing results are found instead of created again.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Protocol
from uuid import UUID

from control_plane.calls.write_items import GroupedWrite, Turn
from control_plane.clock import Clock
from control_plane.errors import DatabaseUnavailable, IdempotencyInFlight, IdempotencyKeyReused, OutcomeUnknown
from control_plane.idempotency import store
from control_plane.idempotency.models import IdempotencyKey
from control_plane.ids import TeamId, new_id
from control_plane.replicas import store as workers_store
from control_plane.replicas.heartbeat import HEARTBEATS
from control_plane.replicas.lease import LEASE
from control_plane.storage.database import Database, retry_if_unknown
from control_plane.storage.retrying import retry_until_cancelled
from control_plane.storage.tx import Tx, database_now

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(hours=24)
PURGED_AT_ONCE = 1000
LARGE = 65_536
"""Bytes of a response above which it gets its own transaction, so that no other write waits for it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request of a team (None: of an administrator) to be done now. `row`: the current row of the key; `before`: the
    row as it was found, where some of the request may have been done before.
    """

    team_id: TeamId | None
    row: IdempotencyKey
    before: IdempotencyKey | None = None

    @property
    def is_resumed(self) -> bool:
        """Whether some of it may have been done before."""
        return self.before is not None

    @property
    def is_superseded(self) -> bool:
        """Whether the process died before its client got a response."""
        return self.before is not None and self.before.worker_id != store.NOBODY

    @property
    def subject_id(self) -> UUID:
        """The id of what the request makes."""
        return self.row.subject_id


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first request's response. Without a body: it held a secret, which is shown once."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Undone(Enum):
    """The end of a request without a response to store."""

    NOTHING = "nothing"
    """It was refused: nothing was done, and the key is as it was before."""
    UNKNOWN = "unknown"
    """It failed: some of it may have been done. The next with its key takes it up, as one that a dead process left."""


Outcome = StoredResponse | Undone


class GroupedWriter(Protocol):
    """Executes grouped writes."""

    async def write_grouped(self, grouped_write: GroupedWrite) -> object:
        """The result of its work, once durable. Raises: what its work raises; DatabaseUnavailable."""


class OwnTransactions:
    """Executes each grouped write in a transaction of its own."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def write_grouped(self, grouped_write: GroupedWrite) -> object:
        """As `GroupedWriter`."""
        return await self._db.run_in_thread(partial(_do, grouped_write))


async def _do(grouped_write: GroupedWrite, tx: Tx) -> object:
    return await grouped_write.work(tx)


class IdempotencyService:
    """The keys of all teams. Run `run()` as a task: it keeps answers that the database would not take at once."""

    def __init__(
        self,
        db: Database,
        worker_id: UUID,
        *,
        clock: Clock,
        writer: GroupedWriter | None = None,
        background: Database | None = None,
        lease: timedelta = LEASE,
    ) -> None:
        """`writer`: writes keys together with what else waits to be written. `background`: connections for what is written a
        second time. `lease`: how long a worker lives without a heartbeat.
        """
        self._alone = OwnTransactions(db)
        self._writer = writer or self._alone
        self._background = background or db
        self._lease = lease
        self._worker_id = worker_id
        self._clock = clock
        self._retry_queue: list[tuple[Claim, Outcome]] = []

    async def claim(
        self, scope: str, key: str, fingerprint: str, team_id: TeamId | None = None
    ) -> Claim | StoredResponse:
        """The request is claimed for the caller, or was done before.

        Raises: IdempotencyInFlight while the first is running, IdempotencyKeyReused for another request with this key;
        DatabaseUnavailable, and then a claim that happened all the same is released when the database is back.
        """
        now = self._clock()
        new = IdempotencyKey(
            scope=scope,
            key=key,
            fingerprint=fingerprint,
            subject_id=new_id(),
            worker_id=self._worker_id,
            claim_id=new_id(),
            status=None,
            headers=None,
            body=None,
            created_at=now,
            expires_at=now + KEPT_FOR,
        )
        tried = [Claim(team_id, new)]
        try:
            return await retry_if_unknown(lambda: self._claim(tried))
        except OutcomeUnknown:
            self._retry_queue.extend((claim, Undone.NOTHING) for claim in tried)
            raise

    async def _claim(self, tried: list[Claim]) -> Claim | StoredResponse:
        """`tried`: the claims whose outcome is unknown, if this one's becomes so; first the one that is wanted."""
        found = await self._writer.write_grouped(
            _grouped_write(Turn.CALL, tried[0], partial(self._claim_in, tried=tried))
        )
        assert isinstance(found, Claim | StoredResponse)
        return found

    async def _claim_in(self, tx: Tx, *, tried: list[Claim]) -> Claim | StoredResponse:
        wanted, new = tried[0], tried[0].row
        if not await store.lock(tx, new.scope, new.key, waits=False):  # its transaction has many others' writes in it
            raise IdempotencyInFlight(retry_after_s=1)
        if await store.claim(tx, new):
            return wanted
        row = await store.find(tx, new.scope, new.key)
        if row is None:  # released this moment
            raise IdempotencyInFlight(retry_after_s=1)
        if row.fingerprint != new.fingerprint:
            raise IdempotencyKeyReused
        if row.status is not None:
            return StoredResponse(row.status, row.headers or {}, row.body)
        if row.claim_id == new.claim_id:  # ours, and the answer to its commit was lost
            return next(claim for claim in tried if claim.subject_id == row.subject_id)
        await self._check_is_left(tx, row)
        taken = IdempotencyKey(**{**row.model_dump(), "worker_id": new.worker_id, "claim_id": new.claim_id})
        tried.append(Claim(wanted.team_id, taken, before=row))
        if not await store.take_over(tx, row, new.worker_id, taken.claim_id or new_id()):
            raise IdempotencyInFlight(retry_after_s=1)
        return tried[-1]

    async def _check_is_left(self, tx: Tx, row: IdempotencyKey) -> None:
        """Raises: IdempotencyInFlight while the process of the first request lives, as far as its lease shows; with the
        time to retry: in a moment, or when its lease is over.
        """
        seen_at = await workers_store.last_seen(tx, row.worker_id)
        now = await database_now(tx, self._clock)
        if seen_at is not None and seen_at + self._lease > now:
            is_silent = seen_at + 2 * self._lease / HEARTBEATS < now
            raise IdempotencyInFlight(retry_after_s=(seen_at + self._lease - now).total_seconds() if is_silent else 1)

    async def settle(self, claim: Claim, outcome: Outcome) -> None:
        """Keeps the answer of a request that was done, or lets the next one with its key begin."""
        alone = _grouped_write(
            Turn.END_OF_CALL, claim, partial(self._write_outcome, claim=claim, outcome=outcome, waits=True)
        )
        together = replace(alone, work=partial(self._write_outcome, claim=claim, outcome=outcome, waits=False))
        try:
            if _is_large(outcome) or not await self._writer.write_grouped(together):
                await self._alone.write_grouped(alone)
        except DatabaseUnavailable:
            log.warning("idempotency_settled_later", extra={"subject_id": str(claim.subject_id)})
            self._retry_queue.append((claim, outcome))

    async def run(self) -> None:
        """Writes what the database would not take before, until cancelled."""
        await retry_until_cancelled(self._retry)

    async def _retry(self) -> None:
        for item in list(self._retry_queue):
            claim, outcome = item
            try:
                await self._background.run_in_thread(
                    partial(self._write_outcome, claim=claim, outcome=outcome, waits=True)
                )
            except DatabaseUnavailable:
                return
            self._retry_queue.remove(item)

    async def purge(self) -> None:
        """Forgets keys after a day; a periodic task."""
        while True:
            async with self._background.transaction() as tx:
                if await store.purge(tx, self._clock(), limit=PURGED_AT_ONCE) < PURGED_AT_ONCE:
                    return

    async def _write_outcome(self, tx: Tx, *, claim: Claim, outcome: Outcome, waits: bool) -> bool:
        """False: another transaction has the key, and this one does not wait for it."""
        row, before = claim.row, claim.before
        if not await store.lock(tx, row.scope, row.key, waits=waits):
            return False
        if isinstance(outcome, StoredResponse):
            kept = outcome
            if not await store.keep(tx, row, status=kept.status, headers=dict(kept.headers), body=kept.body):
                log.warning("idempotency_claim_lost", extra={"subject_id": str(claim.subject_id)})
        elif before is not None and (outcome is Undone.NOTHING or claim.is_superseded):
            await store.abandon(tx, row, before.worker_id, before.claim_id)  # what was done before is still there
        elif outcome is Undone.NOTHING:
            await store.release(tx, row)
        else:
            await store.abandon(tx, row, store.NOBODY, None)
        return True


def _is_large(outcome: Outcome) -> bool:
    return isinstance(outcome, StoredResponse) and len(outcome.body or b"") > LARGE


def _grouped_write(turn: Turn, claim: Claim, work: Callable[[Tx], Awaitable[object]]) -> GroupedWrite:
    return GroupedWrite(turn, claim.team_id, (claim.row.scope, claim.row.key), work)
