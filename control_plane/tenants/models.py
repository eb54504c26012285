"""Tables of the tenants: organizations, their teams, the teams' virtual keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class Organization(SQLModel, table=True):
    """A customer; has teams."""

    __tablename__ = "organizations"

    id: str = Field(primary_key=True)
    name: str
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)


class Team(SQLModel, table=True):
    """The tenant: what holds credits, owns jobs and is limited. The billing columns are copied onto each new job."""

    __tablename__ = "teams"

    id: str = Field(primary_key=True)
    organization_id: str | None = Field(foreign_key="organizations.id", index=True)
    alias: str | None
    default_model_group: str | None
    budget_mode: str
    credits_per_dollar: int
    tokens_per_credit: int
    charge_rule: str
    rpm: int
    tpm: int
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    suspended_at: datetime | None = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class VirtualKey(SQLModel, table=True):
    """A team's key. Only the hash of the secret is kept; `prefix` is what people recognise it by."""

    __tablename__ = "virtual_keys"

    id: UUID = Field(primary_key=True)
    team_id: str = Field(foreign_key="teams.id", index=True)
    name: str | None
    prefix: str
    secret_hash: str = Field(unique=True)
    default_model_group: str | None
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(sa_type=UtcDateTime)
