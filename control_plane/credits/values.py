"""Requested movements and a team's balance. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from control_plane.credits.rules import Movement


@dataclass(frozen=True, slots=True)
class EntryContext:
    """The author, time and reason of credit movements. `ref` is their cause; `entry_id` the id of the only entry, if
    known.
    """

    ref: str
    now: datetime
    actor: str
    reason: str | None = None
    entry_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Movements that happen together or not at all, and their context."""

    movements: Sequence[Movement]
    context: EntryContext


@dataclass(frozen=True, slots=True)
class Balance:
    """A team's balance, in credits. `remaining` is unused: available and held."""

    allocated: int
    used: int
    available: int
    held: int

    @property
    def remaining(self) -> int:
        """allocated − used."""
        return self.available + self.held

    def moved(self, movements: Sequence[Movement]) -> "Balance":
        """The balance after them."""
        return self._changed(movements, 1)

    def before(self, movements: Sequence[Movement]) -> "Balance":
        """The balance before them."""
        return self._changed(movements, -1)

    def _changed(self, movements: Sequence[Movement], sign: int) -> "Balance":
        return Balance(
            self.allocated + sign * sum(movement.allocated for movement in movements),
            self.used + sign * sum(movement.used for movement in movements),
            self.available + sign * sum(movement.available for movement in movements),
            self.held + sign * sum(movement.held for movement in movements),
        )
