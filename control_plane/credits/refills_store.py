"""SQL of the automatic refills. Callers that change one hold the lock of the team's balance."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import delete, insert, select, update
from sqlmodel import col

from control_plane.credits.models import CreditRefill
from control_plane.ids import TeamId
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, one, values_of


async def find(reader: Reader, team_id: TeamId) -> CreditRefill | None:
    """The team's refill; None: none."""
    return one(CreditRefill, await reader.execute(every(CreditRefill).where(col(CreditRefill.team_id) == team_id)))


async def add(tx: Tx, refill: CreditRefill) -> None:
    """Adds the refill of a team without one."""
    await tx.execute(insert(CreditRefill), values_of(refill))


async def set_next(tx: Tx, team_id: TeamId, next_on: date, next_at: datetime) -> None:
    """When the next refill is due."""
    statement = update(CreditRefill).where(col(CreditRefill.team_id) == team_id)
    await tx.execute(statement.values(next_on=next_on, next_at=next_at))


async def remove(tx: Tx, team_id: TeamId) -> None:
    """The team is not refilled any more."""
    await tx.execute(delete(CreditRefill).where(col(CreditRefill.team_id) == team_id))


async def list_due(reader: Reader, now: datetime, *, limit: int) -> Sequence[TeamId]:
    """Teams whose next refill is due, the longest waiting first."""
    due = select(col(CreditRefill.team_id)).where(col(CreditRefill.next_at) <= now)
    rows = await reader.execute(due.order_by(col(CreditRefill.next_at), col(CreditRefill.team_id)).limit(limit))
    return [TeamId(row.team_id) for row in rows]
