"""Grants, automatic refills and events as response models."""

from collections.abc import Sequence

from control_plane.api.admin.shared import page_of
from control_plane.credits.models import CreditEvent, CreditGrant, CreditRefill
from control_plane.credits.refills import Period
from control_plane.credits.values import Balance
from control_plane.schemas import credits as wire


def grants(team_id: str, rows: Sequence[CreditGrant], limit: int) -> wire.GrantList:
    """A page of grants with credits left, of `limit + 1` rows in the order of their use."""
    page, following = page_of(rows, limit, lambda row: row.id)
    return wire.GrantList(
        team_id=team_id,
        next_cursor=following,
        grants=[
            wire.GrantAnswer(
                grant_id=str(row.id),
                credits_granted=row.amount,
                credits_left=row.remaining,
                priority=row.priority,
                expires_at=row.expires_at,
                created_at=row.created_at,
            )
            for row in page
        ],
    )


def auto_refill(team_id: str, row: CreditRefill | None) -> wire.AutoRefillAnswer:
    """A team's auto-refill, if any."""
    return wire.AutoRefillAnswer(
        team_id=team_id,
        enabled=row is not None,
        refill_amount=row and row.credits,
        refill_period=row and Period(row.period).value,
        timezone=row and row.timezone,
        starts_on=row and row.starts_on,
        rollover=row and row.is_rollover,
        next_refill_at=row and row.next_at,
    )


def low_balance(team_id: str, threshold: int | None, stands: Balance) -> wire.LowBalanceAnswer:
    """The low-balance threshold."""
    return wire.LowBalanceAnswer(team_id=team_id, low_balance_threshold=threshold, credits_remaining=stands.remaining)


def events(team_id: str, rows: Sequence[CreditEvent], limit: int) -> wire.EventList:
    """A page of events; the last of `limit + 1` rows only shows that there are more."""
    page, following = page_of(rows, limit, lambda row: row.id)
    return wire.EventList(
        team_id=team_id,
        events=[
            wire.EventAnswer(
                event_id=str(row.id),
                kind=row.kind,
                credits_remaining=row.remaining,
                threshold=row.threshold,
                created_at=row.created_at,
            )
            for row in page
        ],
        next_cursor=following,
    )
