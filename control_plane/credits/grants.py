"""Which grants pay for a charge, and how much of a new grant is left after an overdraft. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from control_plane.schemas.credits import DEFAULT_PRIORITY

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a grant: a lower priority is used first; `expires_at` None: it does not expire."""

    priority: int = DEFAULT_PRIORITY
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits given at once, and how many of them are left (at least 0)."""

    id: UUID
    remaining: int
    priority: int
    expires_at: datetime | None
    created_at: datetime

    @property
    def turn(self) -> tuple[int, datetime, datetime, UUID]:
        """Grants are used up in the order of this: priority, expiry (soonest first, never last), age."""
        return (self.priority, self.expires_at or NEVER, self.created_at, self.id)


def left(remaining: int) -> int:
    """The sum of a team's grants, when the team has not used `remaining`: nothing when it is overdrawn."""
    return max(0, remaining)


def burn(grants: Iterable[Grant], amount: int) -> Mapping[UUID, int]:
    """The remainder of each grant that is touched when `amount` is taken; everything, if they hold less than that."""
    touched = {}
    for grant in sorted(grants, key=lambda each: each.turn):
        taken = min(grant.remaining, amount)
        if taken:
            touched[grant.id] = grant.remaining - taken
            amount -= taken
    return touched
