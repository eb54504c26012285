"""SQL across domain packages, for the administrator."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import or_, select
from sqlmodel import col

from control_plane.ids import OrganizationId, TeamId
from control_plane.model_groups.models import Grant
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, one
from control_plane.tenants.models import Team
from control_plane.tenants.roles import Place


async def lock_team(tx: Tx, team_id: TeamId) -> Team | None:
    """The team, kept from other changes until the transaction ends. (SQLite has one writer anyway.)"""
    statement = every(Team).where(col(Team.id) == team_id).with_for_update()
    return one(Team, await tx.execute(statement))


async def list_team_ids(reader: Reader, organization_id: OrganizationId) -> Sequence[TeamId]:
    """Every team of an organization."""
    rows = await reader.execute(select(col(Team.id)).where(col(Team.organization_id) == organization_id))
    return [TeamId(team_id) for team_id in rows.scalars()]


async def list_teams_at(reader: Reader, at: Collection[Place]) -> Sequence[TeamId]:
    """The teams at these places, none of which is the platform, by id."""
    named = [place.team_id for place in at if place.team_id is not None]
    organizations = [place.organization_id for place in at if place.team_id is None]
    wanted = or_(col(Team.id).in_(named), col(Team.organization_id).in_(organizations))
    rows = await reader.execute(select(col(Team.id)).where(wanted).order_by(col(Team.id)))
    return [TeamId(team_id) for team_id in rows.scalars()]


async def find_grants(reader: Reader, team_ids: Collection[TeamId]) -> Mapping[TeamId, frozenset[str]]:
    """The API grants of several teams, in one query; a team without grants has an empty set."""
    statement = select(col(Grant.team_id), col(Grant.model_group)).where(col(Grant.team_id).in_(team_ids))
    granted: defaultdict[TeamId, set[str]] = defaultdict(set)
    for row in await reader.execute(statement):
        granted[TeamId(row.team_id)].add(row.model_group)
    return {team_id: frozenset(granted[team_id]) for team_id in team_ids}


async def list_all_grants(reader: Reader) -> Mapping[str, Sequence[TeamId]]:
    """The teams with an API grant of each model group, by id."""
    granted: defaultdict[str, list[TeamId]] = defaultdict(list)
    for row in await reader.execute(select(col(Grant.model_group), col(Grant.team_id)).order_by(col(Grant.team_id))):
        granted[row.model_group].append(TeamId(row.team_id))
    return granted
