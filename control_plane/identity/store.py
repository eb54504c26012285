"""SQL of access tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlmodel import col

from control_plane.identity.models import AccessToken
from control_plane.ids import TeamId
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many, one, values_of
from control_plane.tenants.models import Team
from control_plane.tenants.roles import PLATFORM, Place


async def add_token(tx: Tx, token: AccessToken) -> None:
    """Inserts a token."""
    await tx.execute(insert(AccessToken).values(values_of(token)))


async def find_by_secret(reader: Reader, secret_hash: str) -> AccessToken | None:
    """The token with that secret."""
    return one(AccessToken, await reader.execute(every(AccessToken).where(col(AccessToken.secret_hash) == secret_hash)))


async def lock_token(tx: Tx, token_id: UUID) -> AccessToken | None:
    """The token, kept from other changes until the transaction ends."""
    statement = every(AccessToken).where(col(AccessToken.id) == token_id).with_for_update()
    return one(AccessToken, await tx.execute(statement))


async def list_tokens(
    reader: Reader, at: Collection[Place], *, limit: int, after: UUID | None
) -> Sequence[AccessToken]:
    """Tokens for these places and below, oldest first, from the one behind `after` on."""
    statement = every(AccessToken).order_by(col(AccessToken.id)).limit(limit)
    if after is not None:
        statement = statement.where(col(AccessToken.id) > after)
    if PLATFORM not in at:
        statement = statement.where(or_(*(_is_at(place) for place in at)))
    return many(AccessToken, await reader.execute(statement))


async def revoke(tx: Tx, token_id: UUID, at: datetime) -> None:
    """Ends a token."""
    await tx.execute(update(AccessToken).where(col(AccessToken.id) == token_id).values(revoked_at=at))


async def revoke_of_team(tx: Tx, team_id: TeamId, at: datetime) -> Sequence[str]:
    """Ends the tokens for a team, so that they are not for a later one with its id; returns the ids of those it ended."""
    works = (col(AccessToken.team_id) == team_id, col(AccessToken.revoked_at).is_(None))
    ended = await tx.execute(update(AccessToken).where(*works).values(revoked_at=at).returning(col(AccessToken.id)))
    return sorted(str(row.id) for row in ended)


async def note_used(tx: Tx, token_ids: Collection[UUID], at: datetime) -> None:
    """Writes when the tokens were last used, unless another server has written a later time."""
    is_later = or_(col(AccessToken.last_used_at).is_(None), col(AccessToken.last_used_at) < at)
    await tx.execute(update(AccessToken).where(col(AccessToken.id).in_(token_ids), is_later).values(last_used_at=at))


def _is_at(place: Place) -> ColumnElement[bool]:
    """Of an organization's teams those of the teams count, too."""
    if place.team_id is not None:
        return col(AccessToken.team_id) == place.team_id
    teams = select(col(Team.id)).where(col(Team.organization_id) == place.organization_id)
    return or_(col(AccessToken.organization_id) == place.organization_id, col(AccessToken.team_id).in_(teams))
