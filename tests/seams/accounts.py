"""What a team's ledger and the provider's journal must agree on: each nano-USD of the provider is charged or at risk, once."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from tests.support.provider import Provider
from tests.support.server import COST_NANO_USD, Server, Team, new_team

MANY = 10**9


def metered(server: Server, **more: Any) -> AbstractAsyncContextManager[Team]:
    """A team whose credits are nano-USD: what it is charged can be compared with what the provider asked for."""
    in_nano_usd = {"budget_mode": "consumption_usd", "credits_per_dollar": MANY, "credits_allocated": MANY}
    return new_team(server, **in_nano_usd, **more)


@dataclass(frozen=True)
class Accounts:
    """In answers of the provider, each of which costs the same: how many it has given, how many were charged to the team,
    and how many it has at risk.
    """

    given: float
    charged: float
    at_risk: float

    @classmethod
    async def of(cls, team: Team, provider: Provider) -> "Accounts":
        seen = (await team.http.get(f"/api/teams/{team.id}")).json()
        credits_ = await team.credits()
        given = sum(each.finished for each in provider.requests)
        return cls(given, credits_["credits_used"] / COST_NANO_USD, round(seen["at_risk_usd"] * 1e9) / COST_NANO_USD)

    @property
    def are_even(self) -> bool:
        """Whether each answer is charged or at risk, once."""
        return self.given == self.charged + self.at_risk
