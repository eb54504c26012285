"""Model groups: what there is, who may use it and why, and what a name means to a team."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.administration.values import GroupView
from control_plane.api.admin_shared import ADMIN_ERRORS, GroupPath
from control_plane.api.call_responses import rendered
from control_plane.api.deps import Caller, Services
from control_plane.api.routing import AuthenticatedRoute
from control_plane.ids import TeamId
from control_plane.jobs.models import Worker
from control_plane.schemas import model_groups as wire

router = APIRouter(
    prefix="/api/model-groups", tags=["model groups"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute
)


@router.get("", response_model=wire.ModelGroupList, summary="List model groups")
async def list_groups(principal: Caller, services: Services) -> Response:
    """Every model group with who may use it and why; a team's own key sees those it may use.

    For the master key also which version of the YAML is in force, here and at every other server.
    """
    found = await services.administration.access.list_groups(principal)
    configuration = (
        _configuration(services, await services.configuration.list_replicas(principal)) if principal.is_admin else None
    )
    return rendered(wire.ModelGroupList(model_groups=[_answer(view) for view in found], configuration=configuration))


@router.post("/reload", response_model=wire.ReloadAnswer, summary="Put the YAML as it stands in force")
async def reload(principal: Caller, services: Services) -> Response:
    """Reads and checks the file; 422 `invalid_config` lists every mistake by line, and nothing has changed.

    Calls that run end as they began. Other servers follow within seconds, each with the file it sees.
    """
    done = await services.configuration.reload(principal)
    return rendered(wire.ReloadAnswer(generation=done.generation, generation_before=done.before, changes=done.changes))


@router.get("/{name:path}/resolve", response_model=wire.ResolvedGroup, summary="What a model group means to a team")
async def resolve(
    name: GroupPath,
    principal: Caller,
    services: Services,
    team_id: Annotated[str | None, Query(description="may be left out with a team's own key")] = None,
) -> Response:
    """The models a call of the team would run on, in order; without access `team_has_access` is false, models hidden."""
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
