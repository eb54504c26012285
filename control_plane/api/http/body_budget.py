"""The budget of body bytes in memory, of the process and of each team."""

from collections import Counter
from contextvars import ContextVar

from control_plane.errors import BodiesTooLarge, TeamBodiesTooLarge

SMALL = 65_536
"""Bytes that every request may have: a server that is full of large bodies still takes the small ones."""


class BodyBudget:
    """Of one process."""

    def __init__(self, of_process: int, of_team: int) -> None:
        self._of_process = of_process
        self._of_team = of_team
        self._held = 0
        self._teams: Counter[str] = Counter()

    def take(self, team: str, size: int) -> None:
        """Raises: TeamBodiesTooLarge, BodiesTooLarge; then nothing is taken."""
        if self._teams[team] + size > self._of_team:
            raise TeamBodiesTooLarge(limit=self._of_team)
        if self._held + size > self._of_process:
            raise BodiesTooLarge
        self._held += size
        self._teams[team] += size

    def give_back(self, team: str, size: int) -> None:
        """They are held no longer."""
        self._held -= size
        self._teams[team] -= size
        if not self._teams[team]:
            del self._teams[team]


class HeldBody:
    """A request's share of the budget, until its response is sent."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._team = ""
        self._size = 0

    def grow(self, team: str, size: int) -> None:
        """So many bytes of the body have come. Raises: as `BodyBudget.take`."""
        more = size - SMALL - self._size
        if more > 0:
            self._budget.take(team, more)
            self._team, self._size = team, self._size + more

    def release(self) -> None:
        """The request has been answered."""
        if self._size:
            self._budget.give_back(self._team, self._size)
        self._size = 0


held_body: ContextVar[HeldBody | None] = ContextVar("held_body", default=None)
"""Of the request that is being answered."""
