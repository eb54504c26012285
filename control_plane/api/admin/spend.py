"""Reconciliations and lost calls, for the administrator."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.api.admin.shared import ADMIN_ERRORS, PageCursor, PageLimit, id_in, page_of
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.jobs.models import Call
from control_plane.reconciliation.models import Reconciliation
from control_plane.schemas import spend as wire
from control_plane.schemas.base import GivenMoment
from control_plane.units import usd

router = APIRouter(prefix="/api/spend", tags=["operations"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)

LOST_SINCE = timedelta(days=30)


@router.get("/reconciliations", response_model=wire.ReconciliationList, summary="List reconciliations")
async def reconciliations(
    principal: Caller, services: Services, cursor: PageCursor = None, limit: PageLimit = 24
) -> Response:
    """Results of comparing LiteLLM's reports with our records, hourly and for each run of `spend reconcile`."""
    made = await services.reconciliation.made(principal, limit=limit + 1, before=id_in(cursor))
    page, following = page_of(made, limit, lambda each: each.id)
    return rendered(wire.ReconciliationList(reconciliations=[_view(each) for each in page], next_cursor=following))


@router.get("/lost", response_model=wire.LostCallList, summary="List lost calls")
async def lost(
    principal: Caller,
    services: Services,
    since: Annotated[GivenMoment | None, Query(description="default: 30 days ago")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Response:
    """Calls whose server died after possibly reaching the provider, with the tokens and cost they count as."""
    before = id_in(cursor)
    start = since or services.clock() - LOST_SINCE
    calls = await services.reconciliation.lost(principal, start, before=before, limit=limit + 1)
    page, following = page_of(calls, limit, lambda call: call.id)
    return rendered(wire.LostCallList(calls=[_lost(call) for call in page], next_cursor=following))


def _view(made: Reconciliation) -> wire.ReconciliationView:
    return wire.ReconciliationView(
        reconciliation_id=str(made.id),
        source=made.source,
        since=made.since,
        until=made.until,
        findings={name: wire.FindingSum(**each) for name, each in made.counts.items()},
        drift_nano_usd=made.drift_nano_usd,
        unexplained=made.unexplained,
        created_at=made.created_at,
    )


def _lost(call: Call) -> wire.LostCall:
    return wire.LostCall(
        call_id=str(call.id),
        job_id=str(call.job_id),
        team_id=call.team_id,
        model_group=call.model_group,
        purpose=call.purpose,
        is_stream=call.is_stream,
        tokens=call.prompt_tokens + call.completion_tokens,
        cost_usd=usd(call.cost_nano_usd),
        created_at=call.created_at,
    )
