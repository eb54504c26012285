"""SQL of the idempotency keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, bindparam, delete, select, text, update
from sqlmodel import col

from control_plane.idempotency.models import IdempotencyKey
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, one, values_of
from control_plane.storage.upsert import upsert

NOBODY = UUID(int=0)
"""The worker of an unclaimed request."""

_TRY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_WAIT = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0)) IS NOT NULL")


async def lock(tx: Tx, scope: str, key: str, *, waits: bool) -> bool:
    """Takes a key for this transaction, before its row is written. False: another transaction has it, and this one does not
    wait. On SQLite there is one writer.
    """
    if tx.dialect.name == "sqlite":
        return True
    name = {"name": f"idempotency:{scope}:{key}"}
    return bool(await tx.scalar(_WAIT if waits else _TRY, name))


async def claim(tx: Tx, new: IdempotencyKey) -> bool:
    """Whether the key is this request's now: of any number at once, one gets it. A key that has expired is a new one."""
    return (await tx.execute(_claim(tx.dialect.name), values_of(new))).one_or_none() is not None


@prepared
def _claim(dialect: str) -> Executable:
    added = upsert(dialect, IdempotencyKey)
    row = added.excluded
    return added.on_conflict_do_update(
        index_elements=["scope", "key"], set_=dict(row.items()), where=col(IdempotencyKey.expires_at) <= row.created_at
    ).returning(col(IdempotencyKey.key))


async def find(reader: Reader, scope: str, key: str) -> IdempotencyKey | None:
    """The row of a key."""
    return one(IdempotencyKey, await reader.execute(_find(), {"scope": scope, "key": key}))


@prepared
def _find() -> Executable:
    is_the_key = (col(IdempotencyKey.scope) == bindparam("scope"), col(IdempotencyKey.key) == bindparam("key"))
    return every(IdempotencyKey).where(*is_the_key)


async def take_over(tx: Tx, row: IdempotencyKey, worker_id: UUID, claim_id: UUID) -> bool:
    """Whether this process resumes a request of a dead one; only one of several does."""
    statement = (
        update(IdempotencyKey)
        .where(*_is(row))
        .values(worker_id=worker_id, claim_id=claim_id)
        .returning(col(IdempotencyKey.key))
    )
    return (await tx.execute(statement)).first() is not None


async def keep(tx: Tx, row: IdempotencyKey, *, status: int, headers: dict[str, str], body: bytes | None) -> bool:
    """Keeps the answer to a claimed request; False: it is another's by now."""
    values: dict[str, Any] = {"status": status, "headers": headers, "body": body}
    statement = update(IdempotencyKey).where(*_is(row)).values(values).returning(col(IdempotencyKey.key))
    return (await tx.execute(statement)).first() is not None


async def release(tx: Tx, row: IdempotencyKey) -> None:
    """Forgets a claimed request that came to nothing."""
    await tx.execute(delete(IdempotencyKey).where(*_is(row)))


async def abandon(tx: Tx, row: IdempotencyKey, worker_id: UUID, claim_id: UUID | None) -> None:
    """Leaves a claimed request, some of which may have been done, to the next with its key, as that one's."""
    await tx.execute(update(IdempotencyKey).where(*_is(row)).values(worker_id=worker_id, claim_id=claim_id))


async def purge(tx: Tx, now: datetime, *, limit: int) -> int:
    """Forgets keys that have expired; returns how many."""
    keys = select(col(IdempotencyKey.subject_id)).where(col(IdempotencyKey.expires_at) <= now).limit(limit)
    statement = delete(IdempotencyKey).where(
        col(IdempotencyKey.expires_at) <= now, col(IdempotencyKey.subject_id).in_(keys)
    )
    return int((await tx.execute(statement)).rowcount)


def _is(row: IdempotencyKey) -> "list[Any]":
    """This claim of the key while its request runs, and no later one: a process that was cut off for so long that another
    went on in its place must not write over what that one has done.
    """
    return [
        col(IdempotencyKey.scope) == row.scope,
        col(IdempotencyKey.key) == row.key,
        col(IdempotencyKey.subject_id) == row.subject_id,
        col(IdempotencyKey.worker_id) == row.worker_id,
        col(IdempotencyKey.claim_id).is_not_distinct_from(row.claim_id),
        col(IdempotencyKey.status).is_(None),
    ]
