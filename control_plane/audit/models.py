"""The audit log: append-only, one chain of hashes for the platform."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class AuditEntry(SQLModel, table=True):
    """One change, written in its transaction. `number` counts without gaps; `hash` covers the entry and the hash before."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_team", "team_id", "number"),
        Index("ix_audit_entries_organization", "organization_id", "number"),
        Index("ix_audit_entries_action", "action", "number"),
        Index("ix_audit_entries_target", "target", "number"),
    )

    number: int = Field(sa_type=BigInteger, primary_key=True)
    id: UUID = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    means: str
    actor: str
    actor_id: str | None
    address: str | None
    request_id: str | None
    action: str
    target: str
    team_id: str | None
    organization_id: str | None
    reason: str | None
    before: dict[str, Any] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    after: dict[str, Any] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    hash: str


class AuditHead(SQLModel, table=True):
    """The last entry of the log: the single row that writers lock."""

    __tablename__ = "audit_head"

    id: int = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    hash: str
