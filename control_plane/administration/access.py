"""Which teams may use which model group, as the administrator and a team see it."""

from collections.abc import Collection, Iterable, Sequence

from control_plane.administration import store
from control_plane.administration.values import GroupView, Resolution
from control_plane.errors import ModelGroupNotAllowed, ModelGroupNotFound, Unprocessable
from control_plane.ids import TeamId
from control_plane.model_groups import access
from control_plane.model_groups.catalog import Catalog, ModelGroup
from control_plane.model_groups.service import ModelGroupService
from control_plane.storage.database import Database
from control_plane.tenants import store as tenants_store
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import PLATFORM, Permission, Place


class AccessAdministration:
    """The model groups in force and where each team's permission comes from (D13)."""

    def __init__(self, db: Database, groups: ModelGroupService) -> None:
        self._db = db
        self._groups = groups

    async def list_groups(self, principal: Principal) -> Sequence[GroupView]:
        """Every group in the file's order, with every team that may use it for those who may see all of them; else the
        groups that the principal's teams may use, and for these teams only.
        """
        catalog = self._groups.catalog
        if principal.team_id is not None:
            return await self._seen_by(principal.team_id, catalog.groups.values(), principal.key_groups)
        return await self._seen_at(principal.places_with(Permission.MODEL_GROUPS_READ), catalog.groups.values())

    async def get_group(self, principal: Principal, name: str) -> GroupView:
        """One group. Raises: ModelGroupNotFound; ModelGroupNotAllowed for one that no team of the principal may use."""
        group = await self._group(principal, name)
        if principal.team_id is not None:
            seen = await self._seen_by(principal.team_id, [group], principal.key_groups)
        else:
            seen = await self._seen_at(principal.places_with(Permission.MODEL_GROUPS_READ), [group])
        if not seen:
            raise ModelGroupNotAllowed(group=name, team=principal.team_id or "any of yours")
        return seen[0]

    async def resolve(self, principal: Principal, name: str, team_id: TeamId | None) -> Resolution:
        """The models for a call of the team; a team's key may omit the team.

        Raises: ModelGroupNotFound, TeamNotOwned, TeamNotFound, Unprocessable when the administrator names no team.
        """
        team_id = team_id if team_id is not None else principal.team_id
        if team_id is None:
            raise Unprocessable("Name the team: add ?team_id=… to the URL.")
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.MODEL_GROUPS_READ, team_id)
        group = await self._group(principal, name)
        await self._check_team(team_id)
        is_allowed = bool(await self._seen_by(team_id, [group], principal.key_groups))
        return Resolution(name, is_allowed, group.models if is_allowed else ())

    async def _check_team(self, team_id: TeamId) -> None:
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)

    async def _group(self, principal: Principal, name: str) -> ModelGroup:
        groups = self._groups.catalog.groups
        if name not in groups:
            known = list(groups) if principal.team_id is None else await self._groups.usable(principal)
            raise ModelGroupNotFound(group=name, known=known)
        return groups[name]

    async def _seen_at(self, at: Collection[Place], groups: Iterable[ModelGroup]) -> Sequence[GroupView]:
        """The groups as a member with roles at these places sees them."""
        async with self._db.reader() as reader:
            granted = await store.list_all_grants(reader)
            teams = None if PLATFORM in at else await store.list_teams_at(reader, at)
        if teams is None:
            return [GroupView(group, group.teams, granted.get(group.name, ())) for group in groups]
        views = []
        for group in groups:
            granted_teams = [team for team in granted.get(group.name, ()) if team in teams]
            by_pattern = [team for team in teams if access.access_origins(group, team, frozenset()).patterns]
            if granted_teams or by_pattern:
                views.append(GroupView(group, by_pattern, granted_teams))
        return views

    async def _seen_by(
        self, team_id: TeamId, groups: Iterable[ModelGroup], only: frozenset[str] | None
    ) -> Sequence[GroupView]:
        grants = await self._groups.grants(team_id)
        origins = ((group, access.access_origins(group, team_id, grants)) for group in groups)
        return [
            GroupView(group, origin.patterns, [team_id] if origin.is_granted else [])
            for group, origin in origins
            if origin.is_allowed and (only is None or group.name in only)
        ]


def check_groups(catalog: Catalog, names: Iterable[str]) -> None:
    """Raises ModelGroupNotFound for the first name the file does not have."""
    for name in names:
        if name not in catalog.groups:
            raise ModelGroupNotFound(group=name, known=list(catalog.groups))


def check_default(
    catalog: Catalog, team_id: TeamId, grants: frozenset[str], name: str | None, only: frozenset[str] | None = None
) -> None:
    """Raises ModelGroupNotAllowed, ModelGroupNotFound for a default that the calls of the team, or of a key limited to
    `only`, could not run on.
    """
    if name is not None:
        access.choose(catalog, team=team_id, grants=grants, asked=name, only=only)
