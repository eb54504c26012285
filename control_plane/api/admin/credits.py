"""A team's credits: balance, ledger, billing plan. Every route has two equivalent paths."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.administration.values import TeamChanges
from control_plane.api.admin import views
from control_plane.api.admin.shared import ADMIN_ERRORS, PageLimit, TeamPath
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.idempotency import NewSubject
from control_plane.api.http.job_ids import parse_job_id
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.credits.grants import Terms
from control_plane.credits.rules import BudgetMode
from control_plane.ids import TeamId
from control_plane.schemas import credits as wire
from control_plane.tenants.roles import Permission

router = APIRouter(prefix="/api", tags=["credits"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)


@router.get("/credits/teams/{team_id}/balance", response_model=wire.CreditsAnswer, summary="Get a team's credits")
@router.get("/teams/{team_id}/credits", response_model=wire.CreditsAnswer, summary="Get a team's credits")
async def balance(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """The team's balance. A team's key may read its own."""
    return rendered(views.balance(team_id, await services.credits.balance(principal, TeamId(team_id))))


@router.get(
    "/credits/teams/{team_id}/transactions", response_model=wire.TransactionList, summary="List credit transactions"
)
@router.get(
    "/teams/{team_id}/credits/transactions", response_model=wire.TransactionList, summary="List credit transactions"
)
async def transactions(
    team_id: TeamPath,
    principal: Caller,
    services: Services,
    limit: PageLimit = 50,
    cursor: Annotated[int | None, Query(ge=1, le=2**53, description="`next_cursor` of the previous page")] = None,
) -> Response:
    """Every credit transaction, newest first. A team's key may read its own."""
    entries = await services.credits.transactions(principal, TeamId(team_id), limit=limit + 1, before=cursor)
    return rendered(views.transactions(team_id, entries, limit))


@router.post("/credits/teams/{team_id}/add", response_model=wire.CreditsAnswer, summary="Add credits")
@router.post("/teams/{team_id}/credits/add", response_model=wire.CreditsAnswer, summary="Add credits")
async def add(
    team_id: TeamPath, body: wire.AddCredits, principal: Caller, services: Services, subject: NewSubject
) -> Response:
    """Adds credits; returns the new balance."""
    terms = Terms(body.priority, body.expires_at)
    stands = await services.credits.add(
        principal, TeamId(team_id), body.credits, reason=body.reason, terms=terms, ref=subject.id
    )
    return rendered(views.balance(team_id, stands))


@router.post("/credits/teams/{team_id}/refund", response_model=wire.CreditsAnswer, summary="Refund credits")
@router.post("/teams/{team_id}/credits/refund", response_model=wire.CreditsAnswer, summary="Refund credits")
async def refund(
    team_id: TeamPath, body: wire.RefundCredits, principal: Caller, services: Services, subject: NewSubject
) -> Response:
    """Refunds used credits; with `job_id` that job's charge or a part of it, once unless forced.

    409 `conflict` when fewer were used or charged, `already_exists` when the job was already refunded.
    """
    principal.require_anywhere(Permission.CREDITS_WRITE)
    team = TeamId(team_id)
    if body.job_id is None:
        assert body.credits is not None, "the schema asks for either"
        balance_ = await services.credits.refund(principal, team, body.credits, reason=body.reason, ref=subject.id)
    else:
        balance_ = await services.administration.refunds.refund(
            principal,
            team,
            parse_job_id(body.job_id),
            body.credits,
            reason=body.reason,
            force=body.force,
            ref=subject.id,
        )
    return rendered(views.balance(team_id, balance_))


@router.post("/credits/teams/{team_id}/adjust", response_model=wire.CreditsAnswer, summary="Adjust an allocation")
@router.post("/teams/{team_id}/credits/adjust", response_model=wire.CreditsAnswer, summary="Adjust an allocation")
async def adjust(
    team_id: TeamPath, body: wire.AdjustCredits, principal: Caller, services: Services, subject: NewSubject
) -> Response:
    """Raises or lowers the team's allocation; 403 `insufficient_credits` when less is available."""
    stands = await services.credits.adjust(principal, TeamId(team_id), body.credits, reason=body.reason, ref=subject.id)
    return rendered(views.balance(team_id, stands))


@router.get(
    "/credits/teams/{team_id}/conversion-rates", response_model=wire.BillingPlan, summary="Get a team's billing plan"
)
@router.get("/teams/{team_id}/conversion-rates", response_model=wire.BillingPlan, summary="Get a team's billing plan")
async def plan(team_id: TeamPath, principal: Caller, services: Services) -> Response:
    """How the team's new jobs are charged. A team's key may read its own."""
    return rendered(views.plan((await services.administration.get_team(principal, TeamId(team_id))).team))


@router.patch("/credits/teams/{team_id}/budget-mode", response_model=wire.BillingPlan, summary="Set the budget mode")
@router.patch("/teams/{team_id}/budget-mode", response_model=wire.BillingPlan, summary="Set the budget mode")
async def change_budget_mode(
    team_id: TeamPath, body: wire.ChangeBudgetMode, principal: Caller, services: Services
) -> Response:
    """Sets the budget mode and the given rates; existing jobs keep their plan."""
    changes = _rates(body) | TeamChanges(budget_mode=BudgetMode(body.budget_mode))
    return rendered(views.plan((await services.administration.change_team(principal, TeamId(team_id), changes)).team))


@router.patch(
    "/credits/teams/{team_id}/conversion-rates", response_model=wire.BillingPlan, summary="Set the conversion rates"
)
@router.patch("/teams/{team_id}/conversion-rates", response_model=wire.BillingPlan, summary="Set the conversion rates")
async def change_conversion_rates(
    team_id: TeamPath, body: wire.ChangeConversionRates, principal: Caller, services: Services
) -> Response:
    """Sets the given rates; existing jobs keep their plan."""
    return rendered(
        views.plan((await services.administration.change_team(principal, TeamId(team_id), _rates(body))).team)
    )


def _rates(body: wire.ChangeBudgetMode | wire.ChangeConversionRates) -> TeamChanges:
    changes = TeamChanges()
    if body.credits_per_dollar is not None:
        changes["credits_per_dollar"] = body.credits_per_dollar
    if body.tokens_per_credit is not None:
        changes["tokens_per_credit"] = body.tokens_per_credit
    return changes
