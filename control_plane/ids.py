"""Ids: UUIDv7, made by the service that creates the thing, opaque to clients."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
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


_TIME = ((1 << 48) - 1) << 80
_VERSION_AND_VARIANT = (15 << 76) | (3 << 62)
_UUID7 = (7 << 76) | (2 << 62)


def following_id(before: UUID) -> UUID:
    """The id of a replacement for something unusable: always the same one, and of the same time, so that readers of ids
    in their order find it.
    """
    return _derived(before, b"")


def _derived(before: UUID, what: bytes) -> UUID:
    random = int.from_bytes(sha256(before.bytes + what).digest()[:16])
    return UUID(int=(before.int & _TIME) | (random & ~_TIME & ~_VERSION_AND_VARIANT) | _UUID7)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request creates, by its future id. `is_resumed`: it may exist already, created by a request that failed or
    whose process died; `is_superseded`: the process died, and its client got no response. `is_claimed`: it has an
    idempotency key.
    """

    id: UUID
    is_resumed: bool = False
    is_superseded: bool = False
    is_claimed: bool = False

    def part(self, number: int) -> "Subject":
        """Something the request makes beside it, such as an earlier call in the same job."""
        return Subject(_derived(self.id, number.to_bytes(4)), self.is_resumed, self.is_superseded, self.is_claimed)


def new_id() -> UUID:
    """A fresh UUIDv7: ids made later sort later, which keeps index writes together."""
    return uuid7()


def first_id_at(moment: datetime) -> UUID:
    """The least id that `new_id` can make at a time: ids of before are smaller."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return UUID(int=(milliseconds << 80) | _UUID7)


def parse_id(text: str) -> UUID | None:
    """The id a client sent back, or None when it cannot be one of ours; a malformed id is not found."""
    try:
        return UUID(text)
    except ValueError:
        return None
