"""Checks a principal's permission where a team's organization may have to be read first."""

from control_plane.ids import TeamId
from control_plane.storage.database import Reader
from control_plane.tenants import store
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import Level, Permission, Place


async def place_of(reader: Reader, principal: Principal, team_id: TeamId) -> Place:
    """The team's place. Its organization is read only for principals with a role in one."""
    if all(held.place.level is not Level.ORGANIZATION for held in principal.roles):
        return Place(team_id)
    return Place(team_id, await store.find_organization_of(reader, team_id))


async def require_in_team(reader: Reader, principal: Principal, permission: Permission, team_id: TeamId) -> Place:
    """The team's place. Raises: as `Principal.require`; whether there is such a team is not checked."""
    place = await place_of(reader, principal, team_id)
    principal.require(permission, place)
    return place
