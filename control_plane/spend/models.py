"""Table of the spend logs: what LiteLLM reported, one row per attempt, to be matched with our calls."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class SpendLog(SQLModel, table=True):
    """One attempt at one deployment in LiteLLM's words. A second witness: our own record bills (D3)."""

    __tablename__ = "spend_logs"

    id: UUID = Field(primary_key=True)
    call_id: UUID = Field(index=True)
    request_id: str
    status: str
    model: str
    model_group: str
    deployment_id: str
    provider: str
    cost_nano_usd: int = Field(sa_type=BigInteger)
    prompt_tokens: int
    completion_tokens: int
    is_cached: bool
    error_class: str | None
    started_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime = Field(sa_type=UtcDateTime)
