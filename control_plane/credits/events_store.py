"""SQL of the credit events, each written with the movement that caused it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert
from sqlmodel import col

from control_plane.credits.models import CreditEvent
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many

LOW_BALANCE = "low_balance"


async def add(tx: Tx, team_id: TeamId, kind: str, remaining: int, threshold: int, now: datetime) -> None:
    """Something happened to a team's credits."""
    event = {
        "id": new_id(),
        "team_id": team_id,
        "kind": kind,
        "remaining": remaining,
        "threshold": threshold,
        "created_at": now,
    }
    await tx.execute(insert(CreditEvent), event)


async def list_events(reader: Reader, team_id: TeamId, *, limit: int, before: UUID | None) -> Sequence[CreditEvent]:
    """The team's events, newest first; `before` is the last one already seen."""
    statement = every(CreditEvent).where(col(CreditEvent.team_id) == team_id)
    if before is not None:
        statement = statement.where(col(CreditEvent.id) < before)
    return many(CreditEvent, await reader.execute(statement.order_by(col(CreditEvent.id).desc()).limit(limit)))
