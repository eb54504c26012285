"""Routes of the model groups: list, reload, and resolve a name for a team."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.administration.values import GroupView
from control_plane.api.admin.shared import ADMIN_ERRORS, GroupPath
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.ids import TeamId
from control_plane.replicas.models import Worker
from control_plane.schemas import model_groups as wire
from control_plane.tenants.roles import PLATFORM, Permission

router = APIRouter(
    prefix="/api/model-groups", tags=["model groups"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute
)


@router.get("", response_model=wire.ModelGroupList, summary="List model groups")
async def list_groups(principal: Caller, services: Services) -> Response:
    """Every model group, with the teams that may use it and why; a team's key sees the groups it may use.

    The master key also gets the version of the YAML in force, on this server and every other.
    """
    found = await services.administration.access.list_groups(principal)
    configuration = None
    if principal.can(Permission.CONFIGURATION_READ, PLATFORM):
        configuration = _configuration(services, await services.configuration.list_replicas(principal))
    return rendered(wire.ModelGroupList(model_groups=[_answer(view) for view in found], configuration=configuration))


@router.post("/reload", response_model=wire.ReloadAnswer, summary="Reload the configuration")
async def reload(principal: Caller, services: Services) -> Response:
    """Reads and checks the file; 422 `invalid_config` lists every mistake by line, and nothing changes.

    Running calls keep their version. Other servers reload their own file within seconds.
    """
    done = await services.configuration.reload(principal)
    return rendered(wire.ReloadAnswer(generation=done.generation, generation_before=done.before, changes=done.changes))


@router.get("/{name:path}/resolve", response_model=wire.ResolvedGroup, summary="Resolve a model group")
async def resolve(
    name: GroupPath,
    principal: Caller,
    services: Services,
    team_id: Annotated[str | None, Query(description="optional with a team's key")] = None,
) -> Response:
    """The models for a call of the team, in order; without access `team_has_access` is false and models are hidden."""
    team = None if team_id is None else TeamId(team_id)
    resolved = await services.administration.access.resolve(principal, name, team)
    return rendered(
        wire.ResolvedGroup(
            group_name=resolved.group_name,
            primary_model=resolved.models[0] if resolved.models else None,
            fallback_models=resolved.models[1:],
            team_has_access=resolved.team_has_access,
        )
    )


@router.get("/{name:path}", response_model=wire.ModelGroupAnswer, summary="Get a model group")
async def get(name: GroupPath, principal: Caller, services: Services) -> Response:
    """One model group; 403 `model_group_not_allowed` for a team's key that may not use it."""
    return rendered(_answer(await services.administration.access.get_group(principal, name)))


def _answer(view: GroupView) -> wire.ModelGroupAnswer:
    group = view.group
    return wire.ModelGroupAnswer(
        group_name=group.name,
        description=group.description,
        models=group.models,
        primary_model=group.models[0],
        fallback_models=group.models[1:],
        defaults=dict(group.defaults),
        team_patterns=view.patterns,
        granted_teams=view.granted_teams,
    )


def _configuration(services: Services, replicas: Sequence[Worker]) -> wire.ConfigurationAnswer:
    generation = services.configuration.generation
    return wire.ConfigurationAnswer(
        generation=generation,
        is_same_everywhere=all(replica.generation == generation for replica in replicas),
        problems=services.configuration.problems,
        replicas=[
            wire.ReplicaAnswer(name=each.name, generation=each.generation, started_at=each.started_at)
            for each in replicas
        ],
    )
