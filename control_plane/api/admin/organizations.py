"""Routes of organizations, for the administrator."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.api.admin import views
from control_plane.api.admin.shared import ADMIN_ERRORS, OrganizationPath, PageCursor, PageLimit, PageOffset, name_in
from control_plane.api.admin.usage import month_of, summarize
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.ids import OrganizationId
from control_plane.schemas import admin as wire
from control_plane.tenants.models import Organization

router = APIRouter(
    prefix="/api/organizations", tags=["administration"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute
)


@router.post("/create", response_model=wire.OrganizationAnswer, summary="Create an organization")
async def create(body: wire.CreateOrganization, principal: Caller, services: Services) -> Response:
    """Creates an organization: a customer whose teams hold credits. 409 `already_exists` when the id is taken."""
    new = Organization(id=body.organization_id, name=body.name, metadata_=body.metadata, created_at=services.clock())
    return rendered(views.organization(await services.administration.create_organization(principal, new)))


@router.get("", response_model=wire.OrganizationList, summary="List organizations")
async def list_organizations(
    principal: Caller, services: Services, cursor: PageCursor = None, limit: PageLimit = 100, offset: PageOffset = 0
) -> Response:
    """Every organization, by id."""
    found = await services.administration.list_organizations(
        principal, limit=limit + 1, offset=offset, after=name_in(cursor)
    )
    return rendered(views.organizations(found, limit, offset))


@router.get("/{organization_id}", response_model=wire.OrganizationAnswer, summary="Get an organization")
async def get(organization_id: OrganizationPath, principal: Caller, services: Services) -> Response:
    """One organization."""
    return rendered(
        views.organization(await services.administration.get_organization(principal, OrganizationId(organization_id)))
    )


@router.get("/{organization_id}/teams", response_model=wire.TeamList, summary="List an organization's teams")
async def list_teams(
    organization_id: OrganizationPath,
    principal: Caller,
    services: Services,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
    offset: PageOffset = 0,
) -> Response:
    """The organization's teams, by id."""
    organization = OrganizationId(organization_id)
    found = await services.administration.list_teams(
        principal, limit=limit + 1, offset=offset, after=name_in(cursor), organization_id=organization
    )
    return rendered(views.teams(found, limit, offset))


@router.get(
    "/{organization_id}/usage", response_model=wire.OrganizationUsage, summary="Get an organization's monthly usage"
)
async def usage(
    organization_id: OrganizationPath,
    principal: Caller,
    services: Services,
    period: Annotated[str | None, Query(description="YYYY-MM, in UTC; default: this month")] = None,
) -> Response:
    """Usage of the jobs that its teams created in that month, in sum and by job type."""
    month = month_of(period, services.clock())
    used = await services.administration.organization_usage(
        principal, OrganizationId(organization_id), month.start, month.end
    )
    summary, by_type = summarize(used)
    return rendered(
        wire.OrganizationUsage(organization_id=organization_id, period=month.name, summary=summary, job_types=by_type)
    )
