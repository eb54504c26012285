"""The names of things. Ids are UUIDv7, made by the service that creates the thing, opaque to clients."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

OrganizationId = NewType("OrganizationId", str)
"""Chosen by the operator, as `team_id` is."""

TeamId = NewType("TeamId", str)
KeyId = NewType("KeyId", UUID)
JobId = NewType("JobId", UUID)
CallId = NewType("CallId", UUID)
EntryId = NewType("EntryId", UUID)


def new_id() -> UUID:
    """A fresh UUIDv7: ids made later sort later, which keeps index writes together."""
    return uuid7()


def parse_id(text: str) -> UUID | None:
    """The id a client sent back, or None when it cannot be one of ours; a malformed id is simply not found."""
    try:
        return UUID(text)
    except ValueError:
        return None
