"""SQL of the credits. A movement changes the balance and writes its ledger entry in the same transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from sqlalchemy import ColumnElement, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from control_plane.credits.models import CreditBalance, LedgerEntry
from control_plane.credits.rules import EntryKind, Movement
from control_plane.errors import AlreadyExists, Conflict, HouseError, InsufficientCredits, TeamNotFound
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many
from control_plane.storage.upsert import upsert

MAX_CREDITS = 10**15  # what a team may be given in all: JSON clients count exactly up to 2^53, about 9 * 10^15


@dataclass(frozen=True, slots=True)
class Balance:
    """Where a team stands, in credits. `remaining` is what it has not used: available and held."""

    allocated: int
    used: int
    available: int
    held: int

    @property
    def remaining(self) -> int:
        """allocated − used."""
        return self.available + self.held


async def create_balance(tx: Tx, team_id: TeamId) -> None:
    """A new team starts at zero; one whose id a deleted team had goes on where that one's ledger ended, at zero too."""
    row = {"team_id": team_id, "allocated": 0, "used": 0, "available": 0, "held": 0, "entries": 0}
    await tx.execute(upsert(tx.dialect.name, CreditBalance).values(row).on_conflict_do_nothing())


async def post(
    tx: Tx,
    team_id: TeamId,
    movement: Movement,
    *,
    ref: str,
    now: datetime,
    actor: str,
    reason: str | None = None,
) -> Balance:
    """Moves credits and writes the entry, if the balance allows it: one statement decides and moves.

    What is held or taken back must be available, what is refunded must have been used, and nobody is given more than
    MAX_CREDITS in all. Releases and deductions are unconditional: a finished job is billed in full (D6).
    Raises: InsufficientCredits, Conflict, TeamNotFound; AlreadyExists for a second movement of a kind for one `ref`.
    """
    statement = (
        update(CreditBalance)
        .where(col(CreditBalance.team_id) == team_id, _allows(movement))
        .values(
            allocated=CreditBalance.allocated + movement.allocated,
            used=CreditBalance.used + movement.used,
            available=CreditBalance.available + movement.available,
            held=CreditBalance.held + movement.held,
            entries=CreditBalance.entries + 1,
        )
        .returning(
            col(CreditBalance.allocated),
            col(CreditBalance.used),
            col(CreditBalance.available),
            col(CreditBalance.held),
            col(CreditBalance.entries),
        )
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        balance = await find_balance(tx, team_id)
        raise TeamNotFound if balance is None else _refusal(movement, balance)
    entry = {
        "id": new_id(),
        "team_id": team_id,
        "number": row.entries,
        "kind": movement.kind.value,
        "ref": ref,
        "available_delta": movement.available,
        "held_delta": movement.held,
        "available_after": row.available,
        "held_after": row.held,
        "reason": reason,
        "actor": actor,
        "created_at": now,
    }
    try:
        await tx.execute(insert(LedgerEntry), entry)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a {movement.kind} for {ref} already.") from error
    return Balance(row.allocated, row.used, row.available, row.held)


async def lock_balance(tx: Tx, team_id: TeamId) -> Balance | None:
    """The balance, kept from other movements until the transaction ends. None: there never was such a team."""
    locked = select(col(CreditBalance.team_id)).where(col(CreditBalance.team_id) == team_id).with_for_update()
    await tx.execute(locked)
    return await find_balance(tx, team_id)


async def find_balance(reader: Reader, team_id: TeamId) -> Balance | None:
    """The team's balance, or None when there is no such team."""
    return (await find_balances(reader, [team_id])).get(team_id)


async def find_balances(reader: Reader, team_ids: Collection[TeamId]) -> dict[TeamId, Balance]:
    """The balances of several teams in one look."""
    statement = select(
        col(CreditBalance.team_id),
        col(CreditBalance.allocated),
        col(CreditBalance.used),
        col(CreditBalance.available),
        col(CreditBalance.held),
    ).where(col(CreditBalance.team_id).in_(team_ids))
    rows = await reader.execute(statement)
    return {TeamId(row.team_id): Balance(row.allocated, row.used, row.available, row.held) for row in rows}


async def list_entries(reader: Reader, team_id: TeamId, *, limit: int, before: int | None) -> Sequence[LedgerEntry]:
    """The team's ledger, newest first; `before` is the number of the last entry already seen."""
    statement = (
        every(LedgerEntry)
        .where(col(LedgerEntry.team_id) == team_id)
        .order_by(col(LedgerEntry.number).desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(col(LedgerEntry.number) < before)
    return many(LedgerEntry, await reader.execute(statement))


async def has_entry(reader: Reader, kind: EntryKind, ref: str) -> bool:
    """Whether this kind of movement has happened for `ref`."""
    statement = select(col(LedgerEntry.id)).where(col(LedgerEntry.kind) == kind.value, col(LedgerEntry.ref) == ref)
    return (await reader.execute(statement)).first() is not None


async def has_other_entries(reader: Reader, team_id: TeamId, prefix: str) -> bool:
    """Whether credits ever moved for anything whose `ref` does not begin with `prefix`."""
    statement = (
        select(col(LedgerEntry.id))
        .where(col(LedgerEntry.team_id) == team_id, ~col(LedgerEntry.ref).startswith(prefix, autoescape=True))
        .limit(1)
    )
    return (await reader.execute(statement)).first() is not None


def _allows(movement: Movement) -> ColumnElement[bool]:
    """What the balance must be for the movement to happen."""
    match movement.kind:
        case EntryKind.GRANT:
            return col(CreditBalance.allocated) <= MAX_CREDITS - movement.available
        case EntryKind.ADJUSTMENT if movement.available > 0:
            return col(CreditBalance.allocated) <= MAX_CREDITS - movement.available
        case EntryKind.HOLD | EntryKind.ADJUSTMENT:
            return col(CreditBalance.available) >= -movement.available
        case EntryKind.REFUND:
            return col(CreditBalance.used) >= movement.available
        case EntryKind.RELEASE | EntryKind.DEDUCTION:
            return true()
        case _:
            assert_never(movement.kind)


def _refusal(movement: Movement, balance: Balance) -> HouseError:
    """Why the balance did not allow the movement."""
    if movement.available < 0:
        return InsufficientCredits(needed=-movement.available, available=balance.available)
    if movement.kind is EntryKind.REFUND:
        return Conflict(
            f"The team has used {balance.used} credits; more cannot be refunded.", credits_used=balance.used
        )
    return Conflict(
        f"A team can be given {MAX_CREDITS} credits in all; it has been given {balance.allocated}.",
        credits_allocated=balance.allocated,
    )
