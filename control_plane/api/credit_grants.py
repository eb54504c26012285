"""Where a team's credits come from and when they run low: grants, automatic refills, events. Two addresses each."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from control_plane.api import credit_views as views
from control_plane.api.admin_shared import ADMIN_ERRORS, PageCursor, PageLimit, TeamPath, id_in
from control_plane.api.call_responses import rendered
from control_plane.api.deps import Caller, Services
from control_plane.api.routing import AuthenticatedRoute
from control_plane.credits.auto_refill import NewRefill
from control_plane.credits.refills import Period
from control_plane.ids import TeamId
from control_plane.schemas import credits as wire

router = APIRouter(prefix="/api", tags=["credits"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)


@router.get("/credits/teams/{team_id}/grants", response_model=wire.GrantList, summary="What is left, and until when")
@router.get("/teams/{team_id}/credits/grants", response_model=wire.GrantList, summary="What is left, and until when")
async def grants(
    team_id: TeamPath, principal: Caller, services: Services, cursor: PageCursor = None, limit: PageLimit = 100
) -> Response:
    """The grants of which something is left, in the order in which they are used up. A team's key may ask for its own."""
    found = await services.credits.grants(principal, TeamId(team_id), limit=limit + 1, after=id_in(cursor))
    return rendered(views.grants(team_id, found, limit))


@router.post(
    "/credits/teams/{team_id}/configure-auto-refill",
    response_model=wire.AutoRefillAnswer,
    summary="Refill a team's credits automatically",
)
@router.post(
    "/teams/{team_id}/configure-auto-refill",
    response_model=wire.AutoRefillAnswer,
    summary="Refill a team's credits automatically",
)
async def configure_auto_refill(
    team_id: TeamPath, body: wire.ConfigureAutoRefill, principal: Caller, services: Services
) -> Response:
    """Gives the team credits at the beginning of each period, or ends that. The period that runs now is not refilled."""
    wanted = None
    if body.enabled and body.refill_amount is not None and body.refill_period is not None:
        period = Period(body.refill_period)
        wanted = NewRefill(body.refill_amount, period, body.timezone, body.starts_on, is_rollover=body.rollover)
    refill = await services.credits.refills.configure(principal, TeamId(team_id), wanted)
    return rendered(views.auto_refill(team_id, refill))


@router.get(
    "/credits/teams/{team_id}/auto-refill", response_model=wire.AutoRefillAnswer, summary="How a team is refilled"
)
@router.get("/teams/{team_id}/auto-refill", response_model=wire.AutoRefillAnswer, summary="How a team is refilled")
async def auto_refill(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """How the team is refilled, and when next. A team's own key may ask for its own."""
    return rendered(views.auto_refill(team_id, await services.credits.refills.find(principal, TeamId(team_id))))


@router.patch(
    "/credits/teams/{team_id}/low-balance-threshold",
    response_model=wire.LowBalanceAnswer,
    summary="Be told when credits run low",
)
@router.patch(
    "/teams/{team_id}/credits/low-balance-threshold",
    response_model=wire.LowBalanceAnswer,
    summary="Be told when credits run low",
)
async def set_low_balance_threshold(
    team_id: TeamPath, body: wire.SetLowBalance, principal: Caller, services: Services
) -> Response:
    """Writes an event, and a warning in the log, each time the remaining credits fall below the threshold."""
    balance = await services.credits.set_low_balance(principal, TeamId(team_id), body.threshold)
    return rendered(views.low_balance(team_id, body.threshold, balance))


@router.get("/credits/teams/{team_id}/events", response_model=wire.EventList, summary="When credits ran low")
@router.get("/teams/{team_id}/credits/events", response_model=wire.EventList, summary="When credits ran low")
async def events(
    team_id: TeamPath,
    principal: Caller,
    services: Services,
    limit: PageLimit = 50,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before")] = None,
) -> Response:
    """What happened to the team's credits that somebody should hear of, newest first. A team's key may ask for its own."""
    found = await services.credits.events(principal, TeamId(team_id), limit=limit + 1, before=cursor)
    return rendered(views.events(team_id, found, limit))
