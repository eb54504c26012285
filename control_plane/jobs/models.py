"""Tables of the jobs: the jobs, their calls, and the server processes that run calls."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column, Index, text
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import NO, ZERO, UtcDateTime
from control_plane.storage.usage_columns import UsageColumns

IS_OPEN = "status IN ('pending', 'in_progress')"
"""The condition of the index of open jobs; `rules.OPEN_JOB` elsewhere."""

HAS_FINGERPRINT = "fingerprint IS NOT NULL"


class Job(SQLModel, table=True):
    """The unit that is billed. The totals are updated by the transactions that finish its calls.

    `plan` is the team's billing plan at the job's creation (D7). `calls_open` guards completion: a job with a running
    call cannot be billed. `cost_nano_usd` and the tokens count what is billable: calls that succeeded or whose client
    left; a failed call costs nothing. `unbilled_nano_usd` is the provider cost of calls that are not billed.
    `price_nano_usd` is the cost with the markup. The worst case of open calls is reserved. `calls_delivered`: those
    that delivered content to the client. `day` is the day of its creation, in UTC, under which its usage is summed up.
    `fingerprint`: of the request of a one-call job whose client may retry it by itself; `is_superseded`: it did, so this
    job is charged nothing. `is_repetition`: this job was created because such a job is charged nothing, so its calls
    are not served from the cache (D54).
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_team_created", "team_id", "created_at", "id"),
        Index(
            "ix_jobs_fingerprint",
            "team_id",
            "fingerprint",
            sqlite_where=text(HAS_FINGERPRINT),
            postgresql_where=text(HAS_FINGERPRINT),
        ),
        Index("ix_jobs_due", "expires_at", sqlite_where=text(IS_OPEN), postgresql_where=text(IS_OPEN)),
    )

    id: UUID = Field(primary_key=True)
    team_id: str = Field(foreign_key="teams.id")
    job_type: str
    user_id: str | None = None
    status: str
    plan: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    default_model_group: str | None = None
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    error_message: str | None = None
    credits_held: int = Field(default=0, sa_type=BigInteger)
    calls_open: int = 0
    calls_total: int = 0
    calls_succeeded: int = 0
    calls_failed: int = 0
    calls_delivered: int = Field(default=0, sa_column_kwargs=ZERO)
    prompt_tokens: int = Field(default=0, sa_type=BigInteger)
    completion_tokens: int = Field(default=0, sa_type=BigInteger)
    cost_nano_usd: int = Field(default=0, sa_type=BigInteger)
    price_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    unbilled_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    reserved_tokens: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    reserved_cost_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    reserved_price_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    max_credits: int | None = Field(default=None, sa_type=BigInteger)
    max_cost_nano_usd: int | None = Field(default=None, sa_type=BigInteger)
    is_clamped: bool = Field(default=False, sa_column_kwargs=NO)
    latency_ms: int = Field(default=0, sa_type=BigInteger)
    credits_charged: int | None = Field(default=None, sa_type=BigInteger)
    credits_remaining: int | None = Field(default=None, sa_type=BigInteger)
    fingerprint: str | None = None
    is_superseded: bool = Field(default=False, sa_column_kwargs={"name": "is_unheard", **NO})
    is_repetition: bool = Field(default=False, sa_column_kwargs=NO)
    day: date = Field(sa_column_kwargs={"server_default": "1970-01-01"})
    created_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    completed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class OpenCall(SQLModel, table=True):
    """A call that runs: its intent, written before the provider is called. Its row goes when the call ends, and then
    `Call` has one.

    Its tokens and cost are the estimate of its prompt. `reserved_*` is its worst case: what it may use at most, where its
    job's price depends on its calls; `worst_nano_usd`: what is at risk while it runs (D55).
    """

    __tablename__ = "open_calls"

    id: UUID = Field(primary_key=True)
    job_id: UUID
    team_id: str
    worker_id: UUID
    purpose: str | None
    model_group: str
    is_stream: bool
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    prompt_tokens: int
    cost_nano_usd: int = Field(sa_type=BigInteger)
    price_nano_usd: int = Field(sa_type=BigInteger)
    markup_bps: int
    reserved_tokens: int = Field(sa_type=BigInteger)
    reserved_cost_nano_usd: int = Field(sa_type=BigInteger)
    worst_nano_usd: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(sa_type=UtcDateTime)


class Call(UsageColumns, table=True):
    """One logical model request inside a job, written once, when it has ended.

    Servers of the version before write it when it begins, as `open`, and change it when it ends. `lane`: of its
    deployment. `price_nano_usd` is the cost with `markup_bps`; `is_unpriced`: the price is unknown, so the cost is 0.
    `provider_*`: the provider's error report, redacted; its text only where the settings store it. No foreign keys: the
    transaction that writes a call has just updated its job, and the table is the largest.
    """

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_job", "job_id"),
        Index(
            "ix_calls_open", "worker_id", sqlite_where=text("status = 'open'"), postgresql_where=text("status = 'open'")
        ),
    )

    id: UUID = Field(primary_key=True)
    job_id: UUID
    team_id: str
    worker_id: UUID
    status: str
    purpose: str | None
    model_group: str
    is_stream: bool
    metadata_: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    model: str | None
    deployment_id: str | None
    lane: str = Field(default="litellm", sa_column_kwargs={"server_default": "litellm"})
    finish_reason: str | None
    error_code: str | None
    provider_status: int | None = None
    provider_code: str | None = None
    provider_type: str | None = None
    provider_param: str | None = None
    provider_text: str | None = None
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    is_cached: bool
    is_unpriced: bool = Field(default=False, sa_column_kwargs=NO)
    cost_nano_usd: int = Field(sa_type=BigInteger)
    price_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    markup_bps: int = Field(default=0, sa_column_kwargs=ZERO)
    reserved_tokens: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    reserved_cost_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    worst_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    latency_ms: int
    first_chunk_ms: int | None
    created_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(sa_type=UtcDateTime)


class JobDay(SQLModel, table=True):
    """Jobs of a type that a team created on a day, and their outcomes. Updated with the jobs (D23)."""

    __tablename__ = "job_days"

    team_id: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    job_type: str = Field(primary_key=True)
    jobs: int = Field(sa_type=BigInteger)
    completed: int = Field(sa_type=BigInteger)
    failed: int = Field(sa_type=BigInteger)
    cancelled: int = Field(sa_type=BigInteger)
    expired: int = Field(sa_type=BigInteger)
    credits_charged: int = Field(sa_type=BigInteger)


class UsageDay(SQLModel, table=True):
    """Usage of a day's jobs by model group. Billable, as the totals of a job. Updated with the calls (D23)."""

    __tablename__ = "usage_days"

    team_id: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    job_type: str = Field(primary_key=True)
    model_group: str = Field(primary_key=True)
    calls: int = Field(sa_type=BigInteger)
    succeeded: int = Field(sa_type=BigInteger)
    failed: int = Field(sa_type=BigInteger)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    cost_nano_usd: int = Field(sa_type=BigInteger)
    price_nano_usd: int = Field(sa_type=BigInteger)
    unbilled_nano_usd: int = Field(sa_type=BigInteger)


class JobToken(SQLModel, table=True):
    """A token with which web pages use one job. Only the hash of its secret is kept.

    `key_id`: the key that made it, whose end, limits and model groups are the token's, too. `model_groups` narrows them.
    """

    __tablename__ = "job_tokens"

    id: UUID = Field(primary_key=True)
    job_id: UUID = Field(foreign_key="jobs.id", index=True)
    key_id: UUID = Field(foreign_key="virtual_keys.id")
    secret_hash: str = Field(unique=True)
    origins: list[str] = Field(sa_column=Column(JSON, nullable=False))
    model_groups: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    may_complete: bool
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)
