"""Tables of the servers that share a database."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class Worker(SQLModel, table=True):
    """A server process with a heartbeat every few seconds; open calls of one without are lost.

    The row is removed on shutdown; a worker found dead keeps its row, which explains its missing reports.
    """

    __tablename__ = "workers"

    id: UUID = Field(primary_key=True)
    started_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    died_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    name: str | None = None
    generation: str | None = None
    """Which version of the YAML is in force there."""


class PeriodicTask(SQLModel, table=True):
    """Which server does the periodic tasks of a kind. Another takes them over when the claim has run out."""

    __tablename__ = "periodic_tasks"

    name: str = Field(primary_key=True)
    worker_id: UUID
    claimed_until: datetime = Field(sa_type=UtcDateTime)
