"""Tables of the tenants: organizations, their teams, the teams' virtual keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column, text
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import ZERO, UtcDateTime
from control_plane.tenants.keys import KeyKind


class Organization(SQLModel, table=True):
    """A customer; has teams."""

    __tablename__ = "organizations"

    id: str = Field(primary_key=True)
    name: str
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)


class Team(SQLModel, table=True):
    """The tenant: what holds credits, owns jobs and is limited. The billing columns are copied onto each new job.

    `markup_bps`: what is added to the provider's cost, in hundredths of a percent. `job_type_prices`: credits for a job
    of a type, whatever it costs. `at_risk_limit_nano_usd`: None means the server's default. `max_parallel_calls`: None
    means no limit.
    """

    __tablename__ = "teams"

    id: str = Field(primary_key=True)
    organization_id: str | None = Field(foreign_key="organizations.id", index=True)
    alias: str | None
    default_model_group: str | None
    budget_mode: str
    credits_per_dollar: int
    tokens_per_credit: int
    charge_rule: str
    markup_bps: int = Field(default=0, sa_column_kwargs=ZERO)
    job_type_prices: dict[str, int] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    at_risk_limit_nano_usd: int | None = Field(default=None, sa_type=BigInteger)
    rpm: int
    tpm: int
    max_parallel_calls: int | None = None
    jobs_per_minute: int = Field(default=100, sa_column_kwargs={"server_default": text("100")})
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    suspended_at: datetime | None = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class VirtualKey(SQLModel, table=True):
    """A team's key. Only the hash of the secret is kept; `prefix` is what people recognise it by.

    Its own limits and model groups narrow those of its team; None: they do not. `job_type`: of a publishable key, what the
    jobs of its calls are called, and so what they cost; None: `respond`.
    """

    __tablename__ = "virtual_keys"

    id: UUID = Field(primary_key=True)
    team_id: str = Field(foreign_key="teams.id", index=True)
    name: str | None
    prefix: str
    secret_hash: str = Field(unique=True)
    kind: str = Field(default=KeyKind.SECRET, sa_column_kwargs={"server_default": KeyKind.SECRET.value})
    default_model_group: str | None
    job_type: str | None = None
    model_groups: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    rpm: int | None = None
    tpm: int | None = None
    max_parallel_calls: int | None = None
    jobs_per_minute: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(sa_type=UtcDateTime)
    created_by: str | None = None
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class KeyOrigin(SQLModel, table=True):
    """A web origin whose pages may use a key."""

    __tablename__ = "key_origins"

    key_id: UUID = Field(primary_key=True, foreign_key="virtual_keys.id")
    origin: str = Field(primary_key=True, index=True)
