"""SQL of the tenants."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    bindparam,
    delete,
    insert,
    inspect,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, col

from control_plane.errors import AlreadyExists, OrganizationNotFound, TeamNotFound
from control_plane.ids import KeyId, OrganizationId, TeamId
from control_plane.names import is_valid_slug
from control_plane.rate_limits import RateLimits
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, many, one, values_of
from control_plane.tenants.keys import KeyKind
from control_plane.tenants.models import KeyOrigin, Organization, Team, VirtualKey
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import PLATFORM, Place


async def add(tx: Tx, row: SQLModel, *, taken: str) -> None:
    """Inserts a new organization, team or key. Raises: AlreadyExists(`taken`)."""
    try:
        await tx.execute(insert(type(row)).values(values_of(row)))
    except IntegrityError as error:
        raise AlreadyExists(taken) from error


async def find_organization(reader: Reader, organization_id: OrganizationId) -> Organization | None:
    """One organization."""
    statement = every(Organization).where(col(Organization.id) == organization_id)
    return one(Organization, await reader.execute(statement))


async def get_organization(reader: Reader, organization_id: OrganizationId) -> Organization:
    """One organization. Raises: OrganizationNotFound."""
    known = await find_organization(reader, organization_id) if is_valid_slug(organization_id) else None
    if known is None:
        raise OrganizationNotFound
    return known


async def list_all_organizations(
    reader: Reader, *, limit: int, offset: int = 0, after: str = "", at: Collection[Place] = (PLATFORM,)
) -> Sequence[Organization]:
    """Every organization, by id, from the one behind `after` on; those `at` these places."""
    following = every(Organization).where(col(Organization.id) > after).order_by(col(Organization.id))
    if PLATFORM not in at:
        following = following.where(col(Organization.id).in_([place.organization_id for place in at]))
    return many(Organization, await reader.execute(following.limit(limit).offset(offset)))


async def get_team(reader: Reader, team_id: TeamId) -> Team:
    """One team. Raises: TeamNotFound."""
    team = await find_team(reader, team_id)
    if team is None:
        raise TeamNotFound
    return team


async def find_team(reader: Reader, team_id: TeamId) -> Team | None:
    """One team, or None; text that no team can be called never reaches the database, which could not hold some of it."""
    if not is_valid_slug(team_id):
        return None
    return one(Team, await reader.execute(every(Team).where(col(Team.id) == team_id)))


async def find_organization_of(reader: Reader, team_id: TeamId) -> OrganizationId | None:
    """The team's organization; None: it has none, or there is no such team."""
    if not is_valid_slug(team_id):
        return None
    found = await reader.scalar(select(col(Team.organization_id)).where(col(Team.id) == team_id))
    return None if found is None else OrganizationId(found)


async def find_teams(reader: Reader, team_ids: Collection[TeamId]) -> Mapping[TeamId, Team]:
    """Those of the teams that there are."""
    known = [team_id for team_id in team_ids if is_valid_slug(team_id)]
    if not known:
        return {}
    rows = many(Team, await reader.execute(_find_teams(), {"teams": known}))
    return {TeamId(team.id): team for team in rows}


async def list_all_teams(
    reader: Reader,
    *,
    organization_id: OrganizationId | None,
    limit: int,
    offset: int = 0,
    after: str = "",
    at: Collection[Place] = (PLATFORM,),
) -> Sequence[Team]:
    """Every team, or every team of one organization, by id, from the one behind `after` on; those `at` these places."""
    statement = every(Team).where(col(Team.id) > after).order_by(col(Team.id)).limit(limit).offset(offset)
    if organization_id is not None:
        statement = statement.where(col(Team.organization_id) == organization_id)
    if PLATFORM not in at:
        teams = [place.team_id for place in at if place.team_id is not None]
        organizations = [place.organization_id for place in at if place.team_id is None]
        statement = statement.where(or_(col(Team.id).in_(teams), col(Team.organization_id).in_(organizations)))
    return many(Team, await reader.execute(statement))


async def change_team(tx: Tx, team_id: TeamId, changes: Mapping[str, Any]) -> bool:
    """Sets columns of a team; False when there is no such team."""
    statement = update(Team).where(col(Team.id) == team_id).values(**changes).returning(col(Team.id))
    return (await tx.execute(statement)).one_or_none() is not None


async def delete_team(tx: Tx, team_id: TeamId) -> None:
    """Removes the team and its keys. The caller has made sure that it has no history."""
    keys = select(col(VirtualKey.id)).where(col(VirtualKey.team_id) == team_id)
    await tx.execute(delete(KeyOrigin).where(col(KeyOrigin.key_id).in_(keys)))
    await tx.execute(delete(VirtualKey).where(col(VirtualKey.team_id) == team_id))
    await tx.execute(delete(Team).where(col(Team.id) == team_id))


async def list_keys(
    reader: Reader, team_id: TeamId, *, limit: int | None = None, after: UUID | None = None
) -> Sequence[VirtualKey]:
    """The team's keys, oldest first, revoked ones too; from the one behind `after` on."""
    statement = every(VirtualKey).where(col(VirtualKey.team_id) == team_id).order_by(col(VirtualKey.id)).limit(limit)
    if after is not None:
        statement = statement.where(col(VirtualKey.id) > after)
    return many(VirtualKey, await reader.execute(statement))


async def end_key(tx: Tx, team_id: TeamId, key_id: KeyId, at: datetime) -> VirtualKey | None:
    """Revokes a key from `at` on, unless it ends earlier anyway. None: the team has no such key."""
    statement = (
        update(VirtualKey)
        .where(
            col(VirtualKey.id) == key_id,
            col(VirtualKey.team_id) == team_id,
            or_(col(VirtualKey.revoked_at).is_(None), col(VirtualKey.revoked_at) > at),
        )
        .values(revoked_at=at)
    )
    await tx.execute(statement)
    known = every(VirtualKey).where(col(VirtualKey.id) == key_id, col(VirtualKey.team_id) == team_id)
    return one(VirtualKey, await tx.execute(known))


async def note_used(tx: Tx, key_ids: Collection[UUID], at: datetime) -> None:
    """Writes when the keys were last used, unless another server has written a later time."""
    is_later = or_(col(VirtualKey.last_used_at).is_(None), col(VirtualKey.last_used_at) < at)
    await tx.execute(update(VirtualKey).where(col(VirtualKey.id).in_(key_ids), is_later).values(last_used_at=at))


async def list_origins(reader: Reader, team_id: TeamId) -> Mapping[KeyId, Sequence[str]]:
    """The origins that the team's keys may be used from, of those keys that have any."""
    statement = (
        select(col(KeyOrigin.key_id), col(KeyOrigin.origin))
        .join(VirtualKey, col(VirtualKey.id) == col(KeyOrigin.key_id))
        .where(col(VirtualKey.team_id) == team_id)
        .order_by(col(KeyOrigin.origin))
    )
    found: dict[KeyId, list[str]] = {}
    for row in await reader.execute(statement):
        found.setdefault(KeyId(row.key_id), []).append(row.origin)
    return found


async def set_origins(tx: Tx, key_id: KeyId, origins: Iterable[str]) -> None:
    """Makes these the key's origins, and no others."""
    await tx.execute(delete(KeyOrigin).where(col(KeyOrigin.key_id) == key_id))
    rows = [{"key_id": key_id, "origin": origin} for origin in sorted(set(origins))]
    if rows:
        await tx.execute(insert(KeyOrigin), rows)


async def is_registered(reader: Reader, origin: str, at: datetime) -> bool:
    """Whether any team's key that works may be used from this origin."""
    works = [or_(col(ends).is_(None), col(ends) > at) for ends in (VirtualKey.expires_at, VirtualKey.revoked_at)]
    statement = (
        select(col(KeyOrigin.key_id))
        .join(VirtualKey, col(VirtualKey.id) == col(KeyOrigin.key_id))
        .where(col(KeyOrigin.origin) == origin, *works)
        .limit(1)
    )
    return (await reader.execute(statement)).first() is not None


async def find_principal(reader: Reader, secret_hash: str) -> Principal | None:
    """The principal of a key. `expires_at` is the earlier of its expiry and its revocation."""
    return _principal(await reader.execute(_find_by_secret(), {"secret_hash": secret_hash}))


async def find_principal_of(reader: Reader, key_id: KeyId) -> Principal | None:
    """As `find_principal`, by the key's id: for what was made with the key."""
    return _principal(await reader.execute(_find_by_id(), {"key": key_id}))


def _principal(found: Iterable[Any]) -> Principal | None:
    rows = list(found)  # one for each origin
    if not rows:
        return None
    row = rows[0]
    return Principal(
        team_id=TeamId(row.team_id),
        key_id=KeyId(row.id),
        key_model_group=row.key_model_group,
        team_model_group=row.team_model_group,
        is_suspended=row.suspended_at is not None,
        is_publishable=row.kind == KeyKind.PUBLISHABLE,
        origins=frozenset(each.origin for each in rows if each.origin is not None),
        expires_at=min((moment for moment in (row.expires_at, row.revoked_at) if moment), default=None),
        team_rate_limits=RateLimits(row.team_rpm, row.team_tpm, row.team_max_parallel_calls, row.team_jobs_per_minute),
        key_rate_limits=RateLimits(row.key_rpm, row.key_tpm, row.key_max_parallel_calls, row.key_jobs_per_minute),
        key_groups=None if row.model_groups is None else frozenset(row.model_groups),
        job_type=row.job_type,
    )


@prepared
def _find_by_secret() -> Executable:
    return _keys_with_origins().where(col(VirtualKey.secret_hash) == bindparam("secret_hash"))


@prepared
def _find_by_id() -> Executable:
    return _keys_with_origins().where(col(VirtualKey.id) == bindparam("key"))


def _keys_with_origins() -> Select[*tuple[Any, ...]]:
    """One statement: with thousands of teams, most calls query their key."""
    return (
        select(
            col(VirtualKey.id),
            col(VirtualKey.team_id),
            col(VirtualKey.kind),
            col(VirtualKey.default_model_group).label("key_model_group"),
            col(VirtualKey.expires_at),
            col(VirtualKey.revoked_at),
            col(VirtualKey.model_groups),
            col(VirtualKey.job_type),
            *(column.label(f"key_{column.key}") for column in _limits_of(VirtualKey)),
            col(Team.default_model_group).label("team_model_group"),
            col(Team.suspended_at),
            *(column.label(f"team_{column.key}") for column in _limits_of(Team)),
            col(KeyOrigin.origin),
        )
        .join(Team, col(Team.id) == col(VirtualKey.team_id))
        .outerjoin(KeyOrigin, col(KeyOrigin.key_id) == col(VirtualKey.id))
    )


def _limits_of(table: type[Team | VirtualKey]) -> Sequence[ColumnElement[Any]]:
    columns = inspect(table).columns
    return [columns[name] for name in ("rpm", "tpm", "max_parallel_calls", "jobs_per_minute")]


@prepared
def _find_teams() -> Executable:
    return every(Team).where(col(Team.id).in_(bindparam("teams", expanding=True)))
