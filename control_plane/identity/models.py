"""Tables of those who administer: access tokens."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class AccessToken(SQLModel, table=True):
    """A key for administration, with one role at one place. Only the hash of its secret is kept.

    `organization_id`, `team_id`: its place; neither: the platform. The tokens of a team end with it.
    """

    __tablename__ = "access_tokens"

    id: UUID = Field(primary_key=True)
    name: str
    prefix: str
    secret_hash: str = Field(unique=True)
    role: str
    organization_id: str | None
    team_id: str | None
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str
    expires_at: datetime | None = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
