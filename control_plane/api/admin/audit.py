"""The audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.api.admin.shared import ADMIN_ERRORS, PageLimit
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.audit.models import AuditEntry
from control_plane.audit.service import Filter
from control_plane.schemas import access as wire
from control_plane.tenants.roles import PLATFORM, Permission

router = APIRouter(prefix="/api/audit", tags=["administration"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)


@router.get("", response_model=wire.AuditList, summary="List audit entries")
async def list_entries(
    principal: Caller,
    services: Services,
    action: Annotated[str | None, Query(max_length=100, description="only this action, as `team.created`")] = None,
    actor_id: Annotated[str | None, Query(max_length=100, description="only of this token or key")] = None,
    target: Annotated[str | None, Query(max_length=200, description="only about this id")] = None,
    cursor: Annotated[int | None, Query(ge=1, le=2**53, description="`next_cursor` of the previous page")] = None,
    limit: PageLimit = 100,
) -> Response:
    """Every change of teams, keys, limits, credits, model groups and tokens, newest first: of the places you may read."""
    at = principal.places_with(Permission.AUDIT_READ)
    wanted = Filter(action=action, actor_id=actor_id, target=target)
    if PLATFORM not in at:
        wanted = Filter(
            [place.team_id for place in at if place.team_id is not None],
            [place.organization_id for place in at if place.organization_id is not None],
            action,
            actor_id,
            target,
        )
    found = await services.audit.list(wanted, limit=limit + 1, before=cursor)
    page = [_answer(entry) for entry in found[:limit]]
    return rendered(wire.AuditList(entries=page, next_cursor=str(page[-1].number) if len(found) > limit else None))


def _answer(entry: AuditEntry) -> wire.AuditEntryAnswer:
    fields = entry.model_dump(exclude={"id"})
    return wire.AuditEntryAnswer.model_validate({**fields, "entry_id": str(entry.id)})
