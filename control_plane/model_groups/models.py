"""Table of the grants: model groups given to a team through the API, in addition to the patterns in the YAML."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class Grant(SQLModel, table=True):
    """One team may use one model group."""

    __tablename__ = "model_group_grants"

    team_id: str = Field(foreign_key="teams.id", primary_key=True)
    model_group: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
