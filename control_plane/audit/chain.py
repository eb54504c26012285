"""The hash chain of the audit log: each entry's hash covers the entry and the hash before it. Pure."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from control_plane.audit.models import AuditEntry

BEGINNING = ""
"""The hash before the first entry."""

FIELDS = (
    *("number", "means", "actor", "actor_id", "address", "request_id"),
    *("action", "target", "team_id", "organization_id", "reason", "before", "after"),
)


def entry_hash(previous: str, entry: AuditEntry) -> str:
    """SHA-256, in hex, of an entry that follows one with the hash `previous`."""
    moment = entry.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    values = [previous, str(entry.id), moment, *(getattr(entry, field) for field in FIELDS)]
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value as JSON stores it: sets and tuples as lists, everything else that JSON lacks as text."""
    return json.loads(json.dumps(value, default=_as_json))


def _as_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


class Verification:
    """Follows a log from its beginning."""

    def __init__(self) -> None:
        self.number = 0
        self.hash = BEGINNING

    def first_mistake(self, entries: Iterable[AuditEntry]) -> str | None:
        """What is wrong with the first of the next entries that does not follow from those before; None: nothing."""
        for entry in entries:
            if entry.number != self.number + 1:
                return f"entry {self.number + 1} is missing: the next one has the number {entry.number}"
            if entry.hash != entry_hash(self.hash, entry):
                return f"entry {entry.number} ({entry.action} of {entry.target}) was changed after it was written"
            self.number, self.hash = entry.number, entry.hash
        return None

    def mistake_at_end(self, number: int, hash_: str) -> str | None:
        """What is wrong with the stored head; None: nothing."""
        if number != self.number:
            return f"the log should have {number} entries and has {self.number}"
        return None if hash_ == self.hash else "the stored hash of the last entry is another one"
