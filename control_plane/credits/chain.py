"""The hash chain of a team's ledger: each entry's hash covers the entry and the hash before it. Pure.

Changing, removing or inserting an entry outside the product breaks every later hash.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

BEGINNING = ""
"""The hash before a ledger's first entry."""

FIELDS = (
    "id",
    "team_id",
    "number",
    "kind",
    "ref",
    "available_delta",
    "held_delta",
    "available_after",
    "held_after",
    "reason",
    "actor",
)


def entry_hash(previous: str, entry: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of an entry (its columns by name, `created_at` aware) that follows one with the hash `previous`."""
    moment = entry["created_at"].astimezone(UTC).isoformat(timespec="microseconds")
    values = [previous, *(entry[field] for field in FIELDS[1:]), str(entry["id"]), moment]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()
