"""Movements that are asked for, and where a team stands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from control_plane.credits.rules import Movement


@dataclass(frozen=True, slots=True)
class EntryContext:
    """Who moves credits, when and why. `ref` is what the movement is about; `entry_id` the id of its only entry, if known."""

    ref: str
    now: datetime
    actor: str
    reason: str | None
    entry_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Movements that happen together or not at all, and by whom."""

    movements: Sequence[Movement]
    author: EntryContext


@dataclass(frozen=True, slots=True)
class Balance:
    """Where a team stands, in credits. `remaining` is what it has not used: available and held."""

    allocated: int
    used: int
    available: int
    held: int

    @property
    def remaining(self) -> int:
        """allocated − used."""
        return self.available + self.held

    def moved(self, movements: Sequence[Movement]) -> "Balance":
        """Where the team stands after them."""
        return self._changed(movements, 1)

    def before(self, movements: Sequence[Movement]) -> "Balance":
        """Where the team stood before them."""
        return self._changed(movements, -1)

    def _changed(self, movements: Sequence[Movement], sign: int) -> "Balance":
        return Balance(
            self.allocated + sign * sum(movement.allocated for movement in movements),
            self.used + sign * sum(movement.used for movement in movements),
            self.available + sign * sum(movement.available for movement in movements),
            self.held + sign * sum(movement.held for movement in movements),
        )
