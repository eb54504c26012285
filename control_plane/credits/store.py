"""SQL of the credits. A movement changes the balance and writes its ledger entry in the same transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlmodel import col

from control_plane.credits.models import CreditBalance, LedgerEntry
from control_plane.credits.rules import EntryKind, Movement
from control_plane.errors import InsufficientCredits, TeamNotFound
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import columns_of, many


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
    """A new team starts at zero."""
    row = {"team_id": team_id, "allocated": 0, "used": 0, "available": 0, "held": 0, "entries": 0}
    await tx.execute(insert(CreditBalance), row)


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
    """Moves credits and writes the entry; a hold only when enough is available, anything else unconditionally.

    The database refuses a second movement of the same kind for the same `ref`.
    Raises: InsufficientCredits, TeamNotFound.
    """
    statement = (
        update(CreditBalance)
        .where(col(CreditBalance.team_id) == team_id)
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
    if movement.kind is EntryKind.HOLD:
        statement = statement.where(col(CreditBalance.available) >= -movement.available)
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        balance = await find_balance(tx, team_id)
        if balance is None:
            raise TeamNotFound
        raise InsufficientCredits(needed=-movement.available, available=balance.available)
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
    await tx.execute(insert(LedgerEntry), entry)
    return Balance(row.allocated, row.used, row.available, row.held)


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
        select(*columns_of(LedgerEntry))
        .where(col(LedgerEntry.team_id) == team_id)
        .order_by(col(LedgerEntry.number).desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(col(LedgerEntry.number) < before)
    return many(LedgerEntry, await reader.execute(statement))
