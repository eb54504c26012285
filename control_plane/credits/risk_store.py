"""SQL of what is at risk: the provider cost of open jobs, and of jobs that were closed and charged nothing (D11)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, bindparam, func, select, update
from sqlmodel import col

from control_plane.credits.models import CreditBalance, UnbilledCost
from control_plane.ids import TeamId
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import one_or_many
from control_plane.storage.upsert import upsert


async def lock_balances(tx: Tx, team_ids: Collection[TeamId]) -> None:
    """Takes the balances' rows in the order of their teams, as every server does, so that no two wait for each other
    (D16). One team needs no order, and on SQLite there is one writer.
    """
    if len(team_ids) > 1 and tx.dialect.name != "sqlite":
        await tx.execute(_lock(), {"teams": list(team_ids)})


async def add_open_costs(tx: Tx, costs: Mapping[TeamId, int]) -> None:
    """Adds what calls of open jobs have cost (nano-USD). From here on the teams' balances are locked."""
    rows = [{"team": team_id, "cost": costs[team_id]} for team_id in sorted(costs)]
    await tx.execute(_add_open(), one_or_many(rows))


async def close_costs(tx: Tx, team_id: TeamId, cost: int, *, unbilled_at: datetime | None) -> None:
    """A job was closed: its cost is no longer that of an open job. `unbilled_at`: when it was closed for nothing."""
    if not cost:
        return
    await tx.execute(_add_open(), {"team": team_id, "cost": -cost})
    if unbilled_at is not None:
        await add_unbilled_cost(tx, team_id, cost, at=unbilled_at)


async def add_unbilled_cost(tx: Tx, team_id: TeamId, cost: int, *, at: datetime) -> None:
    """What a job has cost that is charged nothing, or not any more. The team's balance is locked."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    added = upsert(tx.dialect.name, UnbilledCost)
    statement = added.on_conflict_do_update(
        index_elements=["team_id", "hour"],
        set_={"cost_nano_usd": col(UnbilledCost.cost_nano_usd) + added.excluded.cost_nano_usd},
    )
    await tx.execute(statement, {"team_id": team_id, "hour": hour, "cost_nano_usd": cost})


async def at_risk(reader: Reader, team_ids: Collection[TeamId], *, since: datetime) -> Mapping[TeamId, int]:
    """What each team has at risk, in nano-USD; hours from `since` on count."""
    open_costs = select(col(CreditBalance.team_id), col(CreditBalance.open_cost_nano_usd)).where(
        col(CreditBalance.team_id).in_(team_ids)
    )
    unbilled = (
        select(col(UnbilledCost.team_id), func.sum(col(UnbilledCost.cost_nano_usd)).label("cost"))
        .where(col(UnbilledCost.team_id).in_(team_ids), col(UnbilledCost.hour) > since)
        .group_by(col(UnbilledCost.team_id))
    )
    risks = {TeamId(row.team_id): int(row.open_cost_nano_usd) for row in await reader.execute(open_costs)}
    for row in await reader.execute(unbilled):
        risks[TeamId(row.team_id)] += int(row.cost)
    return risks


@cache
def _lock() -> Executable:
    wanted = col(CreditBalance.team_id).in_(bindparam("teams", expanding=True))
    return select(col(CreditBalance.team_id)).where(wanted).order_by(col(CreditBalance.team_id)).with_for_update()


@cache
def _add_open() -> Executable:
    return (
        update(CreditBalance)
        .where(col(CreditBalance.team_id) == bindparam("team"))
        .values(open_cost_nano_usd=CreditBalance.open_cost_nano_usd + bindparam("cost"))
    )
