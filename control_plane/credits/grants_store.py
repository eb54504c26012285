"""SQL of the grants. Callers that change them hold the lock of the team's balance."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Integer, Select, Uuid, bindparam, func, insert, literal, select, tuple_, update
from sqlmodel import col

from control_plane.credits.grants import NEVER, Grant, Terms, burn
from control_plane.credits.models import IS_LEFT, CreditBalance, CreditGrant
from control_plane.ids import TeamId, new_id
from control_plane.storage.columns import UtcDateTime
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, many, one, one_or_many

GRANTS_AT_ONCE = 50

TURN_TYPES = (Integer(), UtcDateTime(), UtcDateTime(), Uuid())
"""Of what `grants.Grant.turn` is made of."""


async def add(tx: Tx, team_id: TeamId, amount: int, remaining: int, terms: Terms, now: datetime) -> None:
    """Credits given to a team, of which so many are left."""
    grant = {
        "id": new_id(),
        "team_id": team_id,
        "amount": amount,
        "remaining": remaining,
        "priority": terms.priority,
        "expires_at": terms.expires_at,
        "created_at": now,
    }
    await tx.execute(insert(CreditGrant), grant)


async def take(tx: Tx, amounts: Mapping[TeamId, int]) -> None:
    """Takes credits from the grants of teams, in their turn."""
    left = dict(amounts)
    while left:
        grants: defaultdict[TeamId, list[Grant]] = defaultdict(list)
        for row in await tx.execute(_next_in_turn(), one_or_many([{"team": team_id} for team_id in left])):
            grants[TeamId(row.team_id)].append(_grant(row))
        touched: dict[UUID, int] = {}
        for team_id, theirs in grants.items():
            burnt = burn(theirs, left[team_id])
            touched |= burnt
            left[team_id] -= sum(grant.remaining - burnt[grant.id] for grant in theirs if grant.id in burnt)
        if touched:
            await set_remaining(tx, touched)
        left = {
            team_id: left[team_id] for team_id in grants if left[team_id]
        }  # others have none: `ledger verify` reports it


async def set_remaining(tx: Tx, remaining: Mapping[UUID, int]) -> None:
    """Updates the remainders of grants."""
    await tx.execute(_set_remaining(), one_or_many([{"grant": id_, "left": left} for id_, left in remaining.items()]))


async def list_expired(tx: Tx, team_id: TeamId, now: datetime) -> Sequence[Grant]:
    """The team's grants whose time is over and of which something is left, the oldest first."""
    statement = (
        _of_team()
        .where(col(CreditGrant.expires_at) <= now)
        .order_by(col(CreditGrant.expires_at), col(CreditGrant.created_at), col(CreditGrant.id))
    )
    return [_grant(row) for row in await tx.execute(statement, {"team": team_id})]


async def list_teams_with_expired(reader: Reader, now: datetime, *, after: TeamId, limit: int) -> Sequence[TeamId]:
    """Teams behind one, by id, that have credits to lose: of a grant whose time is over, and available."""
    statement = (
        select(col(CreditGrant.team_id))
        .join(CreditBalance, col(CreditBalance.team_id) == col(CreditGrant.team_id))
        .where(
            IS_LEFT,
            col(CreditGrant.expires_at) <= now,
            col(CreditGrant.team_id) > after,
            col(CreditBalance.available) > 0,
        )
        .distinct()
        .order_by(col(CreditGrant.team_id))
        .limit(limit)
    )
    return [TeamId(row.team_id) for row in await reader.execute(statement)]


async def list_left(
    reader: Reader, team_id: TeamId, *, limit: int, after: Grant | None = None
) -> Sequence[CreditGrant]:
    """The team's grants of which something is left, in the order in which they are used up, behind one of them."""
    statement = every(CreditGrant).where(col(CreditGrant.team_id) == team_id, IS_LEFT)
    if after is not None:
        turn = (
            col(CreditGrant.priority),
            func.coalesce(col(CreditGrant.expires_at), literal(NEVER, UtcDateTime)),
            col(CreditGrant.created_at),
            col(CreditGrant.id),
        )
        statement = statement.where(tuple_(*turn) > tuple_(*after.turn, types=TURN_TYPES))
    return many(CreditGrant, await reader.execute(statement.order_by(*_turn()).limit(limit)))


async def find(reader: Reader, team_id: TeamId, grant_id: UUID) -> Grant | None:
    """One grant of the team, also one of which nothing is left."""
    statement = every(CreditGrant).where(col(CreditGrant.team_id) == team_id, col(CreditGrant.id) == grant_id)
    row = one(CreditGrant, await reader.execute(statement))
    return None if row is None else _grant(row)


def _turn() -> Sequence[Any]:
    """`grants.Grant.turn`, for the database."""
    expires_at = col(CreditGrant.expires_at)
    return (
        col(CreditGrant.priority),
        expires_at.is_(None),
        expires_at,
        col(CreditGrant.created_at),
        col(CreditGrant.id),
    )


def _grant(row: Any) -> Grant:
    return Grant(row.id, row.remaining, row.priority, row.expires_at, row.created_at)


@cache
def _of_team() -> Select[*tuple[Any, ...]]:
    return select(
        col(CreditGrant.team_id),
        col(CreditGrant.id),
        col(CreditGrant.remaining),
        col(CreditGrant.priority),
        col(CreditGrant.expires_at),
        col(CreditGrant.created_at),
    ).where(col(CreditGrant.team_id) == bindparam("team"), IS_LEFT)


@prepared
def _next_in_turn() -> Executable:
    return _of_team().order_by(*_turn()).limit(GRANTS_AT_ONCE)


@prepared
def _set_remaining() -> Executable:
    return update(CreditGrant).where(col(CreditGrant.id) == bindparam("grant")).values(remaining=bindparam("left"))
