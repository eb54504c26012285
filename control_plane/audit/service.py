"""Writes the audit log, in the transaction of what it records, and reads and verifies it."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

from control_plane.audit import store
from control_plane.audit.chain import Verification, entry_hash, plain
from control_plane.audit.models import AuditEntry, AuditHead
from control_plane.audit.values import Actor, Change, origin
from control_plane.clock import Clock
from control_plane.errors import DatabaseUnavailable
from control_plane.ids import new_id
from control_plane.storage.database import Database, Tx

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 1000


async def record(tx: Tx, actor: Actor, change: Change, *, clock: Clock) -> None:
    """Writes one entry. Last in its transaction: until that ends, no other change can be recorded."""
    await _append(tx, await store.lock_head(tx), actor, change, clock)


async def _append(tx: Tx, head: AuditHead, actor: Actor, change: Change, clock: Clock) -> None:
    source = origin.get()
    entry = AuditEntry(
        number=head.number + 1,
        id=new_id(),
        created_at=clock(),
        means=actor.means.value,
        actor=actor.name,
        actor_id=actor.id,
        address=source.address,
        request_id=source.request_id,
        action=change.action,
        target=change.target,
        team_id=change.team_id,
        organization_id=change.organization_id,
        reason=change.reason,
        before=plain(change.before),
        after=plain(change.after),
        hash="",
    )
    entry.hash = entry_hash(head.hash, entry)
    await store.append(tx, entry)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries. `teams` and `organizations`: only theirs; both None: everyone's."""

    teams: Collection[str] | None = None
    organizations: Collection[str] | None = None
    action: str | None = None
    actor_id: str | None = None
    target: str | None = None


class AuditLog:
    """The audit log of the platform."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def record_once(self, actor: Actor, change: Change) -> None:
        """Writes an entry about something that every replica sees, unless the last one of the action says the same.

        Raises: DatabaseUnavailable.
        """
        async with self._db.transaction() as tx:
            head = await store.lock_head(tx)
            last = await store.find_last(tx, change.action)
            if last is None or (last.target, last.after) != (change.target, plain(change.after)):
                await _append(tx, head, actor, change, self._clock)

    async def try_record_once(self, actor: Actor, change: Change) -> None:
        """As `record_once`, for what has happened whether it can be written or not: a failure is logged."""
        try:
            await self.record_once(actor, change)
        except DatabaseUnavailable:
            log.exception("audit_not_written", extra={"action": change.action, "target": change.target})

    async def list(self, wanted: Filter, *, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
        """Entries, newest first, from the one before the number `before` on."""
        async with self._db.reader() as reader:
            return await store.list_entries(
                reader,
                limit=limit,
                before=before,
                teams=wanted.teams,
                organizations=wanted.organizations,
                action=wanted.action,
                actor_id=wanted.actor_id,
                target=wanted.target,
            )

    async def entries(self) -> AsyncIterator[AuditEntry]:
        """Every entry, oldest first."""
        last = 0
        while page := await self._after(last):
            for entry in page:
                yield entry
            last = page[-1].number

    async def verify(self, *, tell: Callable[[int], None] = lambda _: None) -> str | None:
        """The first mistake of the log; None: it is whole. Calls `tell` with the number of entries read."""
        async with self._db.snapshot() as reader:
            following = Verification()
            while page := await store.list_after(reader, following.number, limit=ROWS_AT_ONCE):
                if (mistake := following.first_mistake(page)) is not None:
                    return mistake
                tell(following.number)
            head = await store.find_head(reader)
            return following.mistake_at_end(head.number, head.hash)

    async def count(self) -> int:
        """The number of entries."""
        async with self._db.reader() as reader:
            return await store.last_number(reader)

    async def _after(self, number: int) -> Sequence[AuditEntry]:
        async with self._db.reader() as reader:
            return await store.list_after(reader, number, limit=ROWS_AT_ONCE)
