"""Whether a team's ledger fits together, entry by entry, and leads to what is kept beside it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from control_plane.credits.chain import BEGINNING, FIELDS, entry_hash
from control_plane.credits.grants import left
from control_plane.credits.rules import EntryKind, Movement
from control_plane.ids import TeamId

KINDS = frozenset(kind.value for kind in EntryKind)


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """The first row of a team that does not fit. `number` and `id` are those of a ledger entry, or the id of another row.

    `what` names the row and its column.
    """

    team_id: str
    what: str
    expected: str
    found: str
    number: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry as the database keeps it."""

    id: UUID
    team_id: str
    number: int
    kind: str
    ref: str
    available_delta: int
    held_delta: int
    available_after: int
    held_after: int
    reason: str | None
    actor: str
    created_at: datetime
    hash: str

    @property
    def columns(self) -> Mapping[str, Any]:
        """What the hash covers, by name."""
        return {name: getattr(self, name) for name in (*FIELDS, "created_at")}


@dataclass(frozen=True, slots=True)
class StoredTotals:
    """What is kept beside a ledger and must follow from it: the balance's row, grants, and what jobs say."""

    allocated: int
    used: int
    available: int
    held: int
    entries: int
    granted_left: int
    jobs_held: int
    jobs_charged: int


@dataclass(frozen=True, slots=True)
class RunningTotals:
    """Where the entries read so far lead. `deducted`: what jobs were charged."""

    team_id: TeamId
    allocated: int = 0
    used: int = 0
    available: int = 0
    held: int = 0
    entries: int = 0
    deducted: int = 0
    hash: str = BEGINNING

    def followed_by(self, entry: Entry) -> Self | Discrepancy:
        """Where this entry leads, or why it cannot be the next one."""
        if entry.kind not in KINDS:
            return self._named(entry, "kind", "a known kind", entry.kind)
        movement = Movement(EntryKind(entry.kind), entry.available_delta, entry.held_delta)
        then = replace(
            self,
            allocated=self.allocated + movement.allocated,
            used=self.used + movement.used,
            available=self.available + movement.available,
            held=self.held + movement.held,
            entries=self.entries + 1,
            deducted=self.deducted + (movement.used if movement.kind is EntryKind.DEDUCTION else 0),
            hash=entry_hash(self.hash, entry.columns),
        )
        for column, expected, found in (
            ("number", then.entries, entry.number),
            ("available_after", then.available, entry.available_after),
            ("held_after", then.held, entry.held_after),
            ("hash", then.hash, entry.hash),
        ):
            if expected != found:
                return self._named(entry, column, expected, found)
        return then

    def discrepancies(self, kept: StoredTotals) -> Iterator[Discrepancy]:
        """What does not follow from the ledger, when this is where all of it leads."""
        for what, expected, found in (
            ("credit_balances.entries", self.entries, kept.entries),
            ("credit_balances.allocated", self.allocated, kept.allocated),
            ("credit_balances.used", self.used, kept.used),
            ("credit_balances.available", self.available, kept.available),
            ("credit_balances.held", self.held, kept.held),
            ("credit_grants.remaining, in all", left(self.available + self.held), kept.granted_left),
            ("jobs.credits_held, in all", self.held, kept.jobs_held),
            ("jobs.credits_charged, in all", self.deducted, kept.jobs_charged),
        ):
            if expected != found:
                yield Discrepancy(self.team_id, what, str(expected), str(found))

    def _named(self, entry: Entry, column: str, expected: object, found: object) -> Discrepancy:
        what = f"ledger_entries.{column}"
        return Discrepancy(self.team_id, what, str(expected), str(found), number=entry.number, id=str(entry.id))


def job_misfit(team_id: TeamId, job_id: UUID, charged: int | None, deducted: int) -> Discrepancy | None:
    """Why what a job says it was charged (None: nothing yet) is not what its deduction took; None: it is."""
    if (charged or 0) == deducted:
        return None
    return Discrepancy(team_id, "jobs.credits_charged", str(deducted), str(charged), id=str(job_id))
