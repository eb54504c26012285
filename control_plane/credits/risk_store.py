"""SQL of the amounts at risk: the provider cost of open jobs, the worst case of running calls, and the cost of closed
jobs without a charge (D11, D55).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Executable, bindparam, func, select, update
from sqlmodel import col

from control_plane.credits.models import CreditBalance, UnbilledCost
from control_plane.ids import TeamId
from control_plane.storage.columns import UtcDateTime
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import one_or_many
from control_plane.storage.upsert import upsert
from control_plane.tenants.models import Team


@dataclass(frozen=True, slots=True)
class TeamRisk:
    """A team's amounts at risk, in nano-USD, and the basis of its limit. `own_limit`: None where it has none.

    `cost`: of open jobs and of closed ones that were not charged for it; `worst`: the worst case of running calls.
    `credits_remaining`: the team's unused credits.
    """

    cost: int
    worst: int
    own_limit: int | None
    credits_remaining: int
    credits_per_dollar: int

    @property
    def total(self) -> int:
        """All that is at risk."""
        return self.cost + self.worst


async def lock_balances(tx: Tx, team_ids: Collection[TeamId], *, even_one: bool = False) -> None:
    """Takes the balances' rows in the order of their teams, as every server does, so that no two wait for each other
    (D16). One team needs no order (`even_one`: but is to be read before it is written), and on SQLite there is one writer.
    """
    if (len(team_ids) > 1 or (even_one and team_ids)) and tx.dialect.name != "sqlite":
        await tx.execute(_lock(), {"teams": list(team_ids)})


async def add_open_costs(tx: Tx, costs: Mapping[TeamId, int], worst: Mapping[TeamId, int] | None = None) -> None:
    """Adds what calls of open jobs have cost, and what running calls may cost (nano-USD). From here on the teams' balances
    are locked.
    """
    rows = [{"team": team, "cost": costs[team], "worst": (worst or {}).get(team, 0)} for team in sorted(costs)]
    await tx.execute(_add_open(), one_or_many(rows))


async def close_costs(tx: Tx, changes: Mapping[TeamId, int], unbilled: Mapping[TeamId, int], *, at: datetime) -> None:
    """Jobs were closed: `changes` (nano-USD, negative) of the cost of open jobs. `unbilled`: what no charge pays of it."""
    changed = {team_id: change for team_id, change in changes.items() if change}
    if changed:
        await add_open_costs(tx, changed)
    await add_unbilled_costs(tx, unbilled, at=at)


async def add_unbilled_cost(tx: Tx, team_id: TeamId, cost: int, *, at: datetime) -> None:
    """Adds the cost of calls without a charge, or no longer with one. The team's balance is locked."""
    await add_unbilled_costs(tx, {team_id: cost}, at=at)


async def add_unbilled_costs(tx: Tx, costs: Mapping[TeamId, int], *, at: datetime) -> None:
    """As `add_unbilled_cost`, of many teams."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    rows = [
        {"team_id": team_id, "hour": hour, "cost_nano_usd": cost} for team_id, cost in sorted(costs.items()) if cost
    ]
    if rows:
        await tx.execute(_add_unbilled(tx.dialect.name), one_or_many(rows))


async def find_risks(reader: Reader, team_ids: Collection[TeamId], *, since: datetime) -> Mapping[TeamId, TeamRisk]:
    """Each team's amounts at risk; unbilled cost of hours from `since` on counts. Exact where the balances are locked."""
    rows = await reader.execute(_find_risks(), {"teams": list(team_ids), "since": since})
    return {
        TeamId(row.team_id): TeamRisk(
            cost=row.open_cost_nano_usd + int(row.unbilled),
            worst=row.open_worst_nano_usd,
            own_limit=row.at_risk_limit_nano_usd,
            credits_remaining=row.available + row.held,
            credits_per_dollar=row.credits_per_dollar,
        )
        for row in rows
    }


@prepared
def _lock() -> Executable:
    wanted = col(CreditBalance.team_id).in_(bindparam("teams", expanding=True))
    return select(col(CreditBalance.team_id)).where(wanted).order_by(col(CreditBalance.team_id)).with_for_update()


@prepared
def _add_open() -> Executable:
    return (
        update(CreditBalance)
        .where(col(CreditBalance.team_id) == bindparam("team"))
        .values(
            open_cost_nano_usd=CreditBalance.open_cost_nano_usd + bindparam("cost", type_=BigInteger()),
            open_worst_nano_usd=CreditBalance.open_worst_nano_usd + bindparam("worst", type_=BigInteger()),
        )
    )


@prepared
def _add_unbilled(dialect: str) -> Executable:
    added = upsert(dialect, UnbilledCost)
    return added.on_conflict_do_update(
        index_elements=["team_id", "hour"],
        set_={"cost_nano_usd": col(UnbilledCost.cost_nano_usd) + added.excluded.cost_nano_usd},
    )


@prepared
def _find_risks() -> Executable:
    team = col(CreditBalance.team_id)
    unbilled = select(func.coalesce(func.sum(col(UnbilledCost.cost_nano_usd)), 0)).where(
        col(UnbilledCost.team_id) == team, col(UnbilledCost.hour) > bindparam("since", type_=UtcDateTime)
    )
    return (
        select(
            team,
            col(CreditBalance.available),
            col(CreditBalance.held),
            col(CreditBalance.open_cost_nano_usd),
            col(CreditBalance.open_worst_nano_usd),
            col(Team.at_risk_limit_nano_usd),
            col(Team.credits_per_dollar),
            unbilled.correlate(CreditBalance).scalar_subquery().label("unbilled"),
        )
        .join(Team, col(Team.id) == team)
        .where(team.in_(bindparam("teams", expanding=True)))
    )
