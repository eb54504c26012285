"""SQL of the audit log."""

from collections.abc import Collection, Sequence

from sqlalchemy import insert, or_, select, update
from sqlmodel import col

from control_plane.audit.models import AuditEntry, AuditHead
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, one, values_of

HEAD = 1


async def lock_head(tx: Tx) -> AuditHead:
    """The log's last entry, kept from other writers until the transaction ends."""
    found = one(AuditHead, await tx.execute(every(AuditHead).where(col(AuditHead.id) == HEAD).with_for_update()))
    assert found is not None, "the migration made it"
    return found


async def find_head(reader: Reader) -> AuditHead:
    """As `lock_head`, without a lock."""
    found = one(AuditHead, await reader.execute(every(AuditHead).where(col(AuditHead.id) == HEAD)))
    assert found is not None, "the migration made it"
    return found


async def append(tx: Tx, entry: AuditEntry) -> None:
    """Adds an entry behind the locked head."""
    await tx.execute(insert(AuditEntry).values(values_of(entry)))
    head = update(AuditHead).where(col(AuditHead.id) == HEAD).values(number=entry.number, hash=entry.hash)
    await tx.execute(head)


async def list_after(reader: Reader, number: int, *, limit: int) -> Sequence[AuditEntry]:
    """Entries from the one behind `number` on, oldest first."""
    statement = every(AuditEntry).where(col(AuditEntry.number) > number).order_by(col(AuditEntry.number))
    return many(AuditEntry, await reader.execute(statement.limit(limit)))


async def list_entries(
    reader: Reader,
    *,
    limit: int,
    before: int | None,
    teams: Collection[str] | None,
    organizations: Collection[str] | None,
    action: str | None,
    actor_id: str | None,
    target: str | None,
) -> Sequence[AuditEntry]:
    """Entries, newest first, from the one before `before` on. `teams`, `organizations`: only of these (None: of all)."""
    statement = every(AuditEntry).order_by(col(AuditEntry.number).desc()).limit(limit)
    if before is not None:
        statement = statement.where(col(AuditEntry.number) < before)
    if teams is not None and organizations is not None:
        statement = statement.where(
            or_(col(AuditEntry.team_id).in_(teams), col(AuditEntry.organization_id).in_(organizations))
        )
    for column, wanted in (
        (AuditEntry.action, action),
        (AuditEntry.actor_id, actor_id),
        (AuditEntry.target, target),
    ):
        if wanted is not None:
            statement = statement.where(col(column) == wanted)
    return many(AuditEntry, await reader.execute(statement))


async def find_last(reader: Reader, action: str) -> AuditEntry | None:
    """The newest entry of an action."""
    statement = every(AuditEntry).where(col(AuditEntry.action) == action).order_by(col(AuditEntry.number).desc())
    return one(AuditEntry, await reader.execute(statement.limit(1)))


async def last_number(reader: Reader) -> int:
    """The number of the last entry; 0 without one."""
    found = await reader.scalar(select(col(AuditHead.number)).where(col(AuditHead.id) == HEAD))
    return found or 0
