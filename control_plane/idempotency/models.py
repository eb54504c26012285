"""Table of the idempotency keys: the requests, and the response to the first of each."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class IdempotencyKey(SQLModel, table=True):
    """An idempotency key of a client. `scope` is its virtual key, or the administrator. Without a `status` the first is
    running.

    `fingerprint` is the hash of route and body: the same key with another is a mistake. `subject_id` is the id of what
    the request creates, so that a request resumed after a crash creates nothing twice. `claim_id`: of the current
    claim; earlier claims change nothing any more.
    """

    __tablename__ = "idempotency_keys"

    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    subject_id: UUID
    worker_id: UUID
    claim_id: UUID | None = None
    status: int | None
    headers: dict[str, Any] | None = Field(sa_column=Column(JSON, nullable=True))
    body: bytes | None
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)
