"""SQL of the grants."""

from collections.abc import Collection
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, delete, insert, select
from sqlmodel import col

from control_plane.ids import TeamId
from control_plane.model_groups.models import Grant
from control_plane.storage.database import Reader, Tx


async def list_grants(reader: Reader, team_id: TeamId) -> frozenset[str]:
    """The model groups granted to the team through the API."""
    return frozenset((await reader.execute(_list_grants(), {"team": team_id})).scalars())


async def replace_grants(tx: Tx, team_id: TeamId, groups: Collection[str], now: datetime) -> None:
    """Grants exactly these groups."""
    await tx.execute(delete(Grant).where(col(Grant.team_id) == team_id))
    rows = [{"team_id": team_id, "model_group": group, "created_at": now} for group in sorted(set(groups))]
    if rows:
        await tx.execute(insert(Grant), rows)


@cache
def _list_grants() -> Executable:
    return select(col(Grant.model_group)).where(col(Grant.team_id) == bindparam("team"))
