"""Organizations, teams, keys and credits as response models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from control_plane.administration.keys import has_ended
from control_plane.administration.values import IssuedKey, KeyView, NewTeamView, TeamView
from control_plane.api.admin.shared import page_of
from control_plane.credits.models import LedgerEntry
from control_plane.credits.values import Balance
from control_plane.schemas import admin, credits  # noqa: A004 - the wire of the credits
from control_plane.tenants.models import Organization, Team, VirtualKey
from control_plane.units import usd


def organization(row: Organization) -> admin.OrganizationAnswer:
    """An organization."""
    return admin.OrganizationAnswer(
        organization_id=row.id, name=row.name, metadata=row.metadata_, created_at=row.created_at
    )


def organizations(rows: Sequence[Organization], limit: int, offset: int) -> admin.OrganizationList:
    """A page of organizations, of `limit + 1` rows."""
    page, following = page_of(rows, limit, lambda row: row.id)
    return admin.OrganizationList(
        organizations=[organization(row) for row in page],
        limit=limit,
        offset=offset,
        has_more=following is not None,
        next_cursor=following,
    )


def teams(found: Sequence[TeamView], limit: int, offset: int) -> admin.TeamList:
    """A page of teams, of `limit + 1`."""
    page, following = page_of(found, limit, lambda view: view.team.id)
    return admin.TeamList(
        teams=[team(view) for view in page],
        limit=limit,
        offset=offset,
        has_more=following is not None,
        next_cursor=following,
    )


def team(view: TeamView) -> admin.TeamAnswer:
    """A team, its credits, and why it may use what."""
    return admin.TeamAnswer(**_team_fields(view))


def team_created(made: NewTeamView) -> admin.TeamCreated:
    """A team just made, with the secret of its first key."""
    return admin.TeamCreated(**_team_fields(made.view), virtual_key=made.issued.secret, key_id=str(made.issued.key.id))


def key(view: KeyView, now: datetime) -> admin.KeyAnswer:
    """A key, without its secret."""
    return admin.KeyAnswer(**_key_fields(view.key, view.origins, now))


def key_created(issued: IssuedKey, now: datetime) -> admin.KeyCreated:
    """A key just made, with its secret."""
    return admin.KeyCreated(**_key_fields(issued.key, issued.origins, now), virtual_key=issued.secret)


def balance(team_id: str, stands: Balance) -> credits.CreditsAnswer:
    """The balance of a team."""
    return credits.CreditsAnswer(**_balance_fields(team_id, stands))


def transactions(team_id: str, entries: Sequence[LedgerEntry], limit: int) -> credits.TransactionList:
    """A page of the ledger, of `limit + 1` entries."""
    page, following = page_of(entries, limit, lambda entry: entry.number)
    return credits.TransactionList(
        team_id=team_id,
        transactions=[_transaction(entry) for entry in page],
        limit=limit,
        next_cursor=following,
    )


def plan(row: Team) -> credits.BillingPlan:
    """The billing plan of a team's new jobs."""
    return credits.BillingPlan(team_id=row.id, **_plan_fields(row))


def _transaction(entry: LedgerEntry) -> credits.TransactionAnswer:
    return credits.TransactionAnswer(
        transaction_id=str(entry.id),
        number=entry.number,
        kind=entry.kind,
        ref=entry.ref,
        available_delta=entry.available_delta,
        held_delta=entry.held_delta,
        available_after=entry.available_after,
        held_after=entry.held_after,
        remaining_after=entry.available_after + entry.held_after,
        reason=entry.reason,
        actor=entry.actor,
        created_at=entry.created_at,
    )


def _balance_fields(team_id: str, stands: Balance) -> dict[str, Any]:
    return {
        "team_id": team_id,
        "credits_allocated": stands.allocated,
        "credits_used": stands.used,
        "credits_held": stands.held,
        "credits_available": stands.available,
        "credits_remaining": stands.remaining,
    }


def _plan_fields(row: Team) -> dict[str, Any]:
    return {
        "budget_mode": row.budget_mode,
        "credits_per_dollar": row.credits_per_dollar,
        "tokens_per_credit": row.tokens_per_credit,
        "charge_rule": row.charge_rule,
        "markup_bps": row.markup_bps,
        "job_type_prices": row.job_type_prices or {},
    }


def _team_fields(view: TeamView) -> dict[str, Any]:
    row = view.team
    return {
        **_balance_fields(row.id, view.balance),
        **_plan_fields(row),
        "organization_id": row.organization_id,
        "team_alias": row.alias,
        "status": "active" if row.suspended_at is None else "suspended",
        "model_groups": view.usable,
        "access": [
            admin.GroupAccess(
                group_name=name,
                patterns=origins.patterns,
                granted=origins.is_granted,
                configured=name in view.usable,
            )
            for name, origins in view.access.items()
        ],
        "default_model_group": row.default_model_group,
        "at_risk_usd": usd(view.risk.cost),
        "at_risk_limit_usd": usd(view.risk.limit),
        "rpm": row.rpm,
        "tpm": row.tpm,
        "max_parallel_calls": row.max_parallel_calls,
        "jobs_per_minute": row.jobs_per_minute,
        "metadata": row.metadata_,
        "created_at": row.created_at,
        "suspended_at": row.suspended_at,
    }


def _key_fields(row: VirtualKey, origins: Sequence[str], now: datetime) -> dict[str, Any]:
    return {
        "key_id": str(row.id),
        "team_id": row.team_id,
        "name": row.name,
        "prefix": row.prefix,
        "status": _key_status(row, now),
        "kind": row.kind,
        "origins": origins,
        "default_model_group": row.default_model_group,
        "job_type": row.job_type,
        "model_groups": row.model_groups,
        "rpm": row.rpm,
        "tpm": row.tpm,
        "max_parallel_calls": row.max_parallel_calls,
        "jobs_per_minute": row.jobs_per_minute,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "created_by": row.created_by,
        "last_used_at": row.last_used_at,
    }


def _key_status(row: VirtualKey, now: datetime) -> str:
    if row.revoked_at is not None and row.revoked_at <= now:
        return "revoked"
    if has_ended(row, now):
        return "expired"
    return "active" if row.revoked_at is None else "rotating"
