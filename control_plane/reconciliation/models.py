"""Tables of the spend: LiteLLM's reports, here and in a fleet of proxies, and the results of reconciliations."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime
from control_plane.storage.usage_columns import UsageColumns


class SpendLog(UsageColumns, table=True):
    """One attempt at one deployment, as LiteLLM reported it. A second source: our own record bills (D3).

    `lane`: reported by LiteLLM's callback, or by the relay in its place.
    """

    __tablename__ = "spend_logs"

    id: UUID = Field(primary_key=True)
    call_id: UUID = Field(index=True)
    request_id: str
    status: str
    model: str
    model_group: str
    deployment_id: str
    provider: str
    lane: str = Field(default="litellm", sa_column_kwargs={"server_default": "litellm"})
    cost_nano_usd: int = Field(sa_type=BigInteger)
    prompt_tokens: int
    completion_tokens: int
    is_cached: bool
    error_class: str | None
    started_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime = Field(sa_type=UtcDateTime)


class ProxySpendLog(SQLModel, table=True):
    """A row of `LiteLLM_SpendLogs`, imported from a LiteLLM proxy behind the Router; `call_id` where it names a call."""

    __tablename__ = "proxy_spend_logs"

    request_id: str = Field(primary_key=True)
    call_id: UUID | None = Field(index=True)
    job_id: UUID | None
    status: str
    model: str
    model_group: str
    cost_nano_usd: int = Field(sa_type=BigInteger)
    prompt_tokens: int
    completion_tokens: int
    is_cached: bool
    started_at: datetime = Field(sa_type=UtcDateTime, index=True)
    ended_at: datetime = Field(sa_type=UtcDateTime)


class Reconciliation(SQLModel, table=True):
    """One comparison of our calls with what was reported. `counts` by class; `drift_nano_usd`: reported minus ours."""

    __tablename__ = "reconciliations"

    id: UUID = Field(primary_key=True)
    source: str
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime = Field(sa_type=UtcDateTime)
    counts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    drift_nano_usd: int = Field(sa_type=BigInteger)
    unexplained: int
    created_at: datetime = Field(sa_type=UtcDateTime)


class ArchivedMonth(SQLModel, table=True):
    """A month whose calls and spend logs were written to files and removed: how many, and what they cost together.

    All that is older was archived before, or never was. `month`: its first day.
    """

    __tablename__ = "archived_months"

    month: date = Field(primary_key=True)
    calls: int = Field(sa_type=BigInteger)
    calls_cost_nano_usd: int = Field(sa_type=BigInteger)
    spend_logs: int = Field(sa_type=BigInteger)
    spend_logs_cost_nano_usd: int = Field(sa_type=BigInteger)
    archived_at: datetime = Field(sa_type=UtcDateTime)
