"""Grants, automatic refills and low-balance events of a team. Two paths each."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from control_plane.api.admin import credit_views as views
from control_plane.api.admin.shared import ADMIN_ERRORS, PageCursor, PageLimit, TeamPath, id_in
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.credits.auto_refill import NewRefill
from control_plane.credits.refills import Period
from control_plane.ids import TeamId
from control_plane.schemas import credits as wire

router = APIRouter(prefix="/api", tags=["credits"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)


@router.get("/credits/teams/{team_id}/grants", response_model=wire.GrantList, summary="List grants")
@router.get("/teams/{team_id}/credits/grants", response_model=wire.GrantList, summary="List grants")
async def grants(
    team_id: TeamPath, principal: Caller, services: Services, cursor: PageCursor = None, limit: PageLimit = 100
) -> Response:
    """Grants with credits left, in the order of their use. A team's key may read its own."""
    found = await services.credits.grants(principal, TeamId(team_id), limit=limit + 1, after=id_in(cursor))
    return rendered(views.grants(team_id, found, limit))


@router.post(
    "/credits/teams/{team_id}/configure-auto-refill",
    response_model=wire.AutoRefillAnswer,
    summary="Configure a team's auto-refill",
)
@router.post(
    "/teams/{team_id}/configure-auto-refill",
    response_model=wire.AutoRefillAnswer,
    summary="Configure a team's auto-refill",
)
async def configure_auto_refill(
    team_id: TeamPath, body: wire.ConfigureAutoRefill, principal: Caller, services: Services
) -> Response:
    """Adds credits at the start of each period, from the next one on; `enabled: false` stops it."""
    wanted = None
    if body.enabled and body.refill_amount is not None and body.refill_period is not None:
        period = Period(body.refill_period)
        wanted = NewRefill(body.refill_amount, period, body.timezone, body.starts_on, is_rollover=body.rollover)
    refill = await services.credits.refills.configure(principal, TeamId(team_id), wanted)
    return rendered(views.auto_refill(team_id, refill))


@router.get(
    "/credits/teams/{team_id}/auto-refill", response_model=wire.AutoRefillAnswer, summary="Get a team's auto-refill"
)
@router.get("/teams/{team_id}/auto-refill", response_model=wire.AutoRefillAnswer, summary="Get a team's auto-refill")
async def auto_refill(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """The team's refill settings and next refill. A team's key may read its own."""
    return rendered(views.auto_refill(team_id, await services.credits.refills.find(principal, TeamId(team_id))))


@router.patch(
    "/credits/teams/{team_id}/low-balance-threshold",
    response_model=wire.LowBalanceAnswer,
    summary="Set the low-balance threshold",
)
@router.patch(
    "/teams/{team_id}/credits/low-balance-threshold",
    response_model=wire.LowBalanceAnswer,
    summary="Set the low-balance threshold",
)
async def set_low_balance_threshold(
    team_id: TeamPath, body: wire.SetLowBalance, principal: Caller, services: Services
) -> Response:
    """Records an event and logs a warning each time the remaining credits fall below the threshold."""
    balance = await services.credits.set_low_balance(principal, TeamId(team_id), body.threshold)
    return rendered(views.low_balance(team_id, body.threshold, balance))


@router.get("/credits/teams/{team_id}/events", response_model=wire.EventList, summary="List credit events")
@router.get("/teams/{team_id}/credits/events", response_model=wire.EventList, summary="List credit events")
async def events(
    team_id: TeamPath,
    principal: Caller,
    services: Services,
    limit: PageLimit = 50,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the previous page")] = None,
) -> Response:
    """Low-balance events of the team, newest first. A team's key may read its own."""
    found = await services.credits.events(principal, TeamId(team_id), limit=limit + 1, before=cursor)
    return rendered(views.events(team_id, found, limit))
