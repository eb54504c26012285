"""Routes of teams: create, update, suspend and delete for the administrator; a team's key may read its team."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.administration.values import (
    DEFAULT_JOBS_PER_MINUTE,
    DEFAULT_RPM,
    DEFAULT_TPM,
    KeyTerms,
    NewTeam,
    TeamChanges,
)
from control_plane.api.admin import views
from control_plane.api.admin.shared import ADMIN_ERRORS, PageCursor, PageLimit, PageOffset, TeamPath, name_in
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.credits.rules import BudgetMode, ChargeRule, Plan
from control_plane.ids import OrganizationId, TeamId
from control_plane.schemas import admin as wire
from control_plane.units import nano_usd

router = APIRouter(prefix="/api/teams", tags=["administration"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)


@router.post("/create", response_model=wire.TeamCreated, summary="Create a team")
async def create(body: wire.CreateTeam, principal: Caller, services: Services) -> Response:
    """Creates a team with its credits, model groups and first key, or nothing.

    `virtual_key` is shown only once. 409 `already_exists` when the id is taken; 404 for an organization or a model
    group that does not exist.
    """
    made = await services.administration.create_team(principal, _new_team(body))
    return rendered(views.team_created(made))


@router.get("", response_model=wire.TeamList, summary="List teams")
async def list_teams(
    principal: Caller,
    services: Services,
    organization_id: Annotated[str | None, Query(description="only this organization's")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
    offset: PageOffset = 0,
) -> Response:
    """Every team, by id."""
    organization = None if organization_id is None else OrganizationId(organization_id)
    found = await services.administration.list_teams(
        principal, limit=limit + 1, offset=offset, after=name_in(cursor), organization_id=organization
    )
    return rendered(views.teams(found, limit, offset))


@router.get("/{team_id}", response_model=wire.TeamAnswer, summary="Get a team")
async def get(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """The team, its credits, and which model groups it may use and why. A team's key may read its own team."""
    return rendered(views.team(await services.administration.get_team(principal, TeamId(team_id))))


@router.put("/{team_id}", response_model=wire.TeamAnswer, summary="Update a team")
async def change(team_id: TeamPath, body: wire.ChangeTeam, principal: Caller, services: Services) -> Response:
    """Sets the given fields only. Existing jobs keep the billing plan they were created with."""
    return rendered(views.team(await services.administration.change_team(principal, TeamId(team_id), _changes(body))))


@router.delete("/{team_id}", response_model=wire.TeamDeleted, summary="Delete a team without history")
async def delete(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """Deletes a team that never had a job or a credit transaction; otherwise 409 `team_has_history`: suspend it
    instead.
    """
    await services.administration.delete_team(principal, TeamId(team_id))
    return rendered(wire.TeamDeleted(team_id=team_id, deleted=True))


@router.post("/{team_id}/suspend", response_model=wire.TeamAnswer, summary="Suspend a team")
@router.put("/{team_id}/suspend", response_model=wire.TeamAnswer, summary="Suspend a team")
async def suspend(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """Rejects the team's new jobs and calls with 403 `team_suspended`; it may still read. Idempotent."""
    return rendered(views.team(await services.administration.suspend_team(principal, TeamId(team_id))))


@router.post("/{team_id}/resume", response_model=wire.TeamAnswer, summary="Resume a team")
@router.put("/{team_id}/resume", response_model=wire.TeamAnswer, summary="Resume a team")
async def resume(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """Lets a suspended team create jobs and calls again. Idempotent."""
    return rendered(views.team(await services.administration.resume_team(principal, TeamId(team_id))))


@router.put("/{team_id}/model-groups", response_model=wire.TeamAnswer, summary="Set a team's model groups")
async def set_model_groups(
    team_id: TeamPath, body: wire.SetModelGroups, principal: Caller, services: Services
) -> Response:
    """Grants exactly these groups, in addition to the YAML's patterns; 404 when one does not exist."""
    view = await services.administration.set_model_groups(principal, TeamId(team_id), body.model_groups)
    return rendered(views.team(view))


def _new_team(body: wire.CreateTeam) -> NewTeam:
    return NewTeam(
        team_id=TeamId(body.team_id),
        organization_id=None if body.organization_id is None else OrganizationId(body.organization_id),
        alias=body.team_alias,
        model_groups=body.model_groups,
        default_model_group=body.default_model_group,
        credits_allocated=body.credits_allocated,
        plan=Plan(
            budget_mode=BudgetMode(body.budget_mode),
            credits_per_dollar=body.credits_per_dollar,
            tokens_per_credit=body.tokens_per_credit,
            charge_rule=ChargeRule(body.charge_rule),
            markup_bps=body.markup_bps,
        ),
        job_type_prices=body.job_type_prices,
        at_risk_limit=None if body.at_risk_limit_usd is None else nano_usd(body.at_risk_limit_usd),
        rpm=body.rpm or DEFAULT_RPM,
        tpm=body.tpm or DEFAULT_TPM,
        max_parallel_calls=body.max_parallel_calls,
        jobs_per_minute=body.jobs_per_minute or DEFAULT_JOBS_PER_MINUTE,
        metadata=body.metadata,
        key=KeyTerms(name=body.key_name),
    )


def _changes(body: wire.ChangeTeam) -> TeamChanges:
    """The fields that the client set; the schema defines null."""
    given = body.model_fields_set
    changes = TeamChanges()
    if "team_alias" in given:
        changes["alias"] = body.team_alias
    if "default_model_group" in given:
        changes["default_model_group"] = body.default_model_group
    if "rpm" in given:
        changes["rpm"] = body.rpm or DEFAULT_RPM
    if "tpm" in given:
        changes["tpm"] = body.tpm or DEFAULT_TPM
    if "max_parallel_calls" in given:
        changes["max_parallel_calls"] = body.max_parallel_calls
    if "jobs_per_minute" in given:
        changes["jobs_per_minute"] = body.jobs_per_minute or DEFAULT_JOBS_PER_MINUTE
    if "at_risk_limit_usd" in given:
        limit = body.at_risk_limit_usd
        changes["at_risk_limit_nano_usd"] = None if limit is None else nano_usd(limit)
    if body.metadata is not None:
        changes["metadata_"] = body.metadata
    return changes | _plan_changes(body)


def _plan_changes(body: wire.ChangeTeam) -> TeamChanges:
    changes = TeamChanges()
    if body.budget_mode is not None:
        changes["budget_mode"] = BudgetMode(body.budget_mode)
    if body.credits_per_dollar is not None:
        changes["credits_per_dollar"] = body.credits_per_dollar
    if body.tokens_per_credit is not None:
        changes["tokens_per_credit"] = body.tokens_per_credit
    if body.charge_rule is not None:
        changes["charge_rule"] = ChargeRule(body.charge_rule)
    if body.markup_bps is not None:
        changes["markup_bps"] = body.markup_bps
    if body.job_type_prices is not None:
        changes["job_type_prices"] = body.job_type_prices
    return changes
