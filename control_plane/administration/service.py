"""Organizations and teams, for the administrator; `keys`, `access` and `refunds` have the rest. One transaction each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control_plane.administration import store
from control_plane.administration.access import AccessAdministration, check_default, check_groups
from control_plane.administration.keys import KeyAdministration, add_key
from control_plane.administration.refunds import JobRefunds
from control_plane.administration.values import (
    NewTeam,
    NewTeamView,
    Risk,
    TeamChanges,
    TeamView,
    view_of,
)
from control_plane.audit import service as audit
from control_plane.audit.values import Change, difference
from control_plane.clock import Clock
from control_plane.credits import posting, refills_store, risk_store
from control_plane.credits import store as credits_store
from control_plane.credits.rules import EntryKind, Movement, Plan
from control_plane.credits.values import Balance, EntryContext
from control_plane.errors import (
    AdminOnly,
    TeamHasHistory,
    TeamNotFound,
)
from control_plane.identity import store as identity_store
from control_plane.ids import OrganizationId, TeamId, new_id
from control_plane.jobs import store as jobs_store
from control_plane.jobs import usage_rollups_store
from control_plane.jobs.admission import RiskPolicy
from control_plane.jobs.usage_rollups_store import UsageOfType
from control_plane.model_groups import store as groups_store
from control_plane.model_groups.service import ModelGroupService
from control_plane.names import is_valid_slug
from control_plane.storage.database import Database, Reader, Tx
from control_plane.tenants import store as tenants_store
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.models import Organization, Team
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import PLATFORM, Permission, Place
from control_plane.tenants.service import KeyService

PERMISSION_FOR: Mapping[str, Permission] = {
    **dict.fromkeys(("rpm", "tpm", "max_parallel_calls", "jobs_per_minute"), Permission.LIMITS_WRITE),
    "at_risk_limit_nano_usd": Permission.CREDITS_WRITE,
    **dict.fromkeys(
        ("budget_mode", "credits_per_dollar", "tokens_per_credit", "charge_rule", "markup_bps", "job_type_prices"),
        Permission.PRICES_WRITE,
    ),
}
"""What changing a column of a team needs; others need TEAMS_WRITE."""

TEAM_REF = "team:"  # ledger entries of a team's making and deleting; every other entry is history


class AdministrationService:
    """Organizations and teams. Everything but `get_team` raises AdminOnly for a team's key, and
    PermissionDenied for a member without the permission. Each change is in the audit log.
    """

    def __init__(
        self, db: Database, keys: KeyService, groups: ModelGroupService, *, clock: Clock, risk: RiskPolicy | None = None
    ) -> None:
        self._risk = risk or RiskPolicy()
        self._db = db
        self._principals = keys
        self._groups = groups
        self._clock = clock
        self.keys = KeyAdministration(db, keys, groups, clock=clock)
        self.access = AccessAdministration(db, groups)
        self.refunds = JobRefunds(db, clock=clock)

    async def create_organization(self, principal: Principal, organization: Organization) -> Organization:
        """Adds an organization. Raises: AlreadyExists."""
        principal.require(Permission.ORGANIZATIONS_WRITE, PLATFORM)
        organization.created_at = self._clock()
        async with self._db.transaction() as tx:
            await tenants_store.add(tx, organization, taken=f"There is an organization '{organization.id}' already.")
            fields = {"name": organization.name, "metadata": organization.metadata_}
            change = Change("organization.created", organization.id, None, fields, organization_id=organization.id)
            await audit.record(tx, principal.audited, change, clock=self._clock)
        return organization

    async def list_organizations(
        self, principal: Principal, *, limit: int, offset: int = 0, after: str = ""
    ) -> Sequence[Organization]:
        """Every organization that the principal may see, by id, from the one behind `after` on."""
        at = principal.places_with(Permission.ORGANIZATIONS_READ)
        async with self._db.reader() as reader:
            return await tenants_store.list_all_organizations(reader, limit=limit, offset=offset, after=after, at=at)

    async def get_organization(self, principal: Principal, organization_id: OrganizationId) -> Organization:
        """One organization. Raises: OrganizationNotFound."""
        principal.require(Permission.ORGANIZATIONS_READ, Place(organization_id=organization_id))
        async with self._db.reader() as reader:
            return await tenants_store.get_organization(reader, organization_id)

    async def organization_usage(
        self, principal: Principal, organization_id: OrganizationId, start: datetime, end: datetime
    ) -> Sequence[UsageOfType]:
        """Usage of the jobs that its teams created in [start, end). Raises: OrganizationNotFound."""
        principal.require(Permission.USAGE_READ, Place(organization_id=organization_id))
        async with self._db.reader() as reader:
            await tenants_store.get_organization(reader, organization_id)
            team_ids = await store.list_team_ids(reader, organization_id)
            return await usage_rollups_store.sum_usage(reader, team_ids, start.date(), end.date())

    async def create_team(self, principal: Principal, new: NewTeam) -> NewTeamView:
        """Adds a team with its credits, grants and first key: all of it, or nothing.

        Raises: AlreadyExists, OrganizationNotFound, ModelGroupNotFound, ModelGroupNotAllowed (the default).
        """
        place = Place(organization_id=new.organization_id)
        principal.require(Permission.TEAMS_CREATE, place)
        _require_terms(principal, new, Place(new.team_id, new.organization_id))
        catalog = self._groups.catalog
        grants = frozenset(new.model_groups)
        check_groups(catalog, new.model_groups)
        check_groups(catalog, new.key.model_groups or ())
        for default in (new.default_model_group, new.key.default_model_group):
            check_default(catalog, new.team_id, grants, default)
        team = _team(new, self._clock())
        async with self._db.transaction() as tx:
            if new.organization_id is not None:
                await tenants_store.get_organization(tx, new.organization_id)
            await tenants_store.add(tx, team, taken=f"There is a team '{team.id}' already.")
            await credits_store.create_balance(tx, new.team_id)
            balance = Balance(0, 0, 0, 0)
            if new.credits_allocated:
                grant = Movement(EntryKind.GRANT, available=new.credits_allocated)
                balance = await self._post(
                    tx, principal, new.team_id, grant, reason="allocated when the team was created"
                )
            await groups_store.replace_grants(tx, new.team_id, new.model_groups, team.created_at)
            issued = await add_key(tx, new.team_id, new.key, now=team.created_at)
            risk = (await self._risks(tx, [new.team_id]))[new.team_id]
            await self._record(
                tx,
                principal,
                team,
                "team.created",
                None,
                {
                    **_audited(team),
                    "credits_allocated": new.credits_allocated,
                    "model_groups": new.model_groups,
                    "key": issued.key.prefix,
                },
            )
        self._groups.forget()
        return NewTeamView(view_of(catalog, team, balance, grants, risk), issued)

    async def list_teams(
        self,
        principal: Principal,
        *,
        limit: int,
        offset: int = 0,
        after: str = "",
        organization_id: OrganizationId | None = None,
    ) -> Sequence[TeamView]:
        """Every team that the principal may see, or those of one organization, by id, from the one behind `after` on.

        Raises: OrganizationNotFound.
        """
        at = principal.places_with(Permission.TEAMS_READ)
        if principal.team_id is not None:
            raise AdminOnly
        if organization_id is not None:
            principal.require(Permission.TEAMS_READ, Place(organization_id=organization_id))
        async with self._db.reader() as reader:
            if organization_id is not None:
                await tenants_store.get_organization(reader, organization_id)
            teams = await tenants_store.list_all_teams(
                reader, organization_id=organization_id, limit=limit, offset=offset, after=after, at=at
            )
            return await self._views(reader, teams)

    async def get_team(self, principal: Principal, team_id: TeamId) -> TeamView:
        """One team; a team's key may read its own. Raises: TeamNotOwned, TeamNotFound."""
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.TEAMS_READ, team_id)
            team = await tenants_store.find_team(reader, team_id)
            return await self._view(reader, team)

    async def change_team(self, principal: Principal, team_id: TeamId, changes: TeamChanges) -> TeamView:
        """Sets what is given and leaves the rest. Jobs keep the plan they were created with (D7).

        Raises: TeamNotFound; ModelGroupNotFound, ModelGroupNotAllowed for a default the team could not use.
        """
        async with self._db.transaction() as tx:
            before = await self._lock(tx, principal, team_id, *_permissions_for(changes))
            grants = await groups_store.list_grants(tx, team_id)
            check_default(self._groups.catalog, team_id, grants, changes.get("default_model_group"))
            if changes:
                await tenants_store.change_team(tx, team_id, changes)
            team = await tenants_store.get_team(tx, team_id)
            view = await self._view(tx, team)
            await self._record_difference(tx, principal, before, team, "team.updated")
        self._principals.forget()
        return view

    async def suspend_team(self, principal: Principal, team_id: TeamId) -> TeamView:
        """Refuses the team new jobs and calls until it is resumed; what runs may end. Raises: TeamNotFound."""
        return await self._set_suspended(principal, team_id, self._clock())

    async def resume_team(self, principal: Principal, team_id: TeamId) -> TeamView:
        """Lets a suspended team work again; nothing happens to one that is not. Raises: TeamNotFound."""
        return await self._set_suspended(principal, team_id, None)

    async def set_model_groups(self, principal: Principal, team_id: TeamId, model_groups: Sequence[str]) -> TeamView:
        """Grants exactly these groups, beside what the YAML's patterns allow.

        Raises: TeamNotFound, ModelGroupNotFound.
        """
        principal.require_anywhere(Permission.MODEL_GROUPS_GRANT)
        check_groups(self._groups.catalog, model_groups)
        async with self._db.transaction() as tx:
            team = await self._lock(tx, principal, team_id, Permission.MODEL_GROUPS_GRANT)
            before = await groups_store.list_grants(tx, team_id)
            await groups_store.replace_grants(tx, team_id, model_groups, self._clock())
            view = await self._view(tx, team)
            if before != frozenset(model_groups):
                granted = {"model_groups": sorted(before)}, {"model_groups": sorted(set(model_groups))}
                await self._record(tx, principal, team, "team.model_groups_set", *granted)
        self._groups.forget()
        return view

    async def delete_team(self, principal: Principal, team_id: TeamId) -> None:
        """Deletes a team without history, with its keys and grants; its access tokens end, its credits are removed.

        Its ledger stays, as every ledger does: a team created later under the same id continues it, at zero. Raises:
        TeamNotFound, TeamHasHistory.
        """
        principal.require_anywhere(Permission.TEAMS_SUSPEND)
        async with self._db.transaction() as tx:
            balance = await credits_store.lock_balance(tx, team_id) if is_valid_slug(team_id) else None
            team = await self._lock(
                tx, principal, team_id, Permission.TEAMS_SUSPEND
            )  # after the balance, in the order of a job's creation
            if balance is None:
                raise TeamNotFound
            moved = await credits_store.has_other_entries(tx, team_id, TEAM_REF)
            if moved or await jobs_store.has_jobs(tx, team_id):
                raise TeamHasHistory
            if balance.available:
                taken_back = Movement(EntryKind.ADJUSTMENT, available=-balance.available)
                await self._post(tx, principal, team_id, taken_back, reason="taken back when the team was deleted")
            await credits_store.set_low_balance(tx, team_id, None)
            await refills_store.remove(tx, team_id)
            await groups_store.replace_grants(tx, team_id, (), self._clock())
            await tenants_store.delete_team(tx, team_id)
            tokens = await identity_store.revoke_of_team(tx, team_id, self._clock())
            was = {**_audited(team), **({"access_tokens": tokens} if tokens else {})}
            await self._record(tx, principal, team, "team.deleted", was, None)
        self._principals.forget()
        self._groups.forget()

    async def _set_suspended(self, principal: Principal, team_id: TeamId, moment: datetime | None) -> TeamView:
        async with self._db.transaction() as tx:
            before = await self._lock(tx, principal, team_id, Permission.TEAMS_SUSPEND)
            if moment is None or before.suspended_at is None:
                await tenants_store.change_team(tx, team_id, {"suspended_at": moment})
            team = await tenants_store.get_team(tx, team_id)
            view = await self._view(tx, team)
            await self._record_difference(tx, principal, before, team, "team.suspended" if moment else "team.resumed")
        self._principals.forget()
        return view

    async def _post(self, tx: Tx, principal: Principal, team_id: TeamId, movement: Movement, *, reason: str) -> Balance:
        context = EntryContext(f"{TEAM_REF}{new_id()}", self._clock(), principal.actor, reason)
        return await posting.post(tx, team_id, [movement], context)

    async def _lock(self, tx: Tx, principal: Principal, team_id: TeamId, *permissions: Permission) -> Team:
        for permission in permissions:
            await require_in_team(tx, principal, permission, team_id)
        team = await store.lock_team(tx, team_id) if is_valid_slug(team_id) else None
        if team is None:
            raise TeamNotFound
        return team

    async def _record_difference(self, tx: Tx, principal: Principal, before: Team, after: Team, action: str) -> None:
        """Records what a change of a team has changed, if anything."""
        was, became = difference(_audited(before), _audited(after))
        if was != became:
            await self._record(tx, principal, after, action, was, became)

    async def _record(
        self,
        tx: Tx,
        principal: Principal,
        team: Team,
        action: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        change = Change(action, team.id, before, after, team.id, team.organization_id)
        await audit.record(tx, principal.audited, change, clock=self._clock)

    async def _view(self, reader: Reader, team: Team | None) -> TeamView:
        if team is None:
            raise TeamNotFound
        return (await self._views(reader, [team]))[0]

    async def _views(self, reader: Reader, teams: Sequence[Team]) -> Sequence[TeamView]:
        team_ids = [TeamId(team.id) for team in teams]
        balances = await credits_store.find_balances(reader, team_ids)
        grants = await store.find_grants(reader, team_ids)
        risks = await self._risks(reader, team_ids)
        views = []
        for team, team_id in zip(teams, team_ids, strict=True):
            views.append(view_of(self._groups.catalog, team, balances[team_id], grants[team_id], risks[team_id]))
        return views

    async def _risks(self, reader: Reader, team_ids: Sequence[TeamId]) -> Mapping[TeamId, Risk]:
        found = await risk_store.find_risks(reader, team_ids, since=self._risk.since(self._clock()))
        return {team_id: Risk(risk.total, self._risk.limit_of(risk)) for team_id, risk in found.items()}


def _audited(team: Team) -> Mapping[str, Any]:
    """A team's fields as the audit log has them."""
    return team.model_dump(exclude={"id", "created_at"})


def _permissions_for(changes: TeamChanges) -> Sequence[Permission]:
    """What setting these columns needs."""
    return list(dict.fromkeys([PERMISSION_FOR.get(name, Permission.TEAMS_WRITE) for name in changes])) or [
        Permission.TEAMS_WRITE
    ]


def _require_terms(principal: Principal, new: NewTeam, place: Place) -> None:
    """Raises: PermissionDenied for a new team with terms that the principal may not give."""
    if new.credits_allocated or new.at_risk_limit is not None:
        principal.require(Permission.CREDITS_WRITE, place)
    if new.plan != Plan() or new.job_type_prices:
        principal.require(Permission.PRICES_WRITE, place)
    if new.model_groups:
        principal.require(Permission.MODEL_GROUPS_GRANT, place)


def _team(new: NewTeam, now: datetime) -> Team:
    return Team(
        id=new.team_id,
        organization_id=new.organization_id,
        alias=new.alias,
        default_model_group=new.default_model_group,
        budget_mode=new.plan.budget_mode.value,
        credits_per_dollar=new.plan.credits_per_dollar,
        tokens_per_credit=new.plan.tokens_per_credit,
        charge_rule=new.plan.charge_rule.value,
        markup_bps=new.plan.markup_bps,
        job_type_prices=dict(new.job_type_prices),
        at_risk_limit_nano_usd=new.at_risk_limit,
        rpm=new.rpm,
        tpm=new.tpm,
        max_parallel_calls=new.max_parallel_calls,
        jobs_per_minute=new.jobs_per_minute,
        metadata_=dict(new.metadata),
        suspended_at=None,
        created_at=now,
    )
