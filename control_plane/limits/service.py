"""Rate limits: admits calls and new jobs, or rejects them with a time to retry. Independent of credits.

`process.py` decides in memory, `shared.py` with `take.lua` in Redis; `replicas.py` chooses between them.
"""

from collections.abc import Callable, Sequence

from control_plane.errors import InvalidConfig, RateLimited
from control_plane.ids import new_id
from control_plane.limits.replicas import LimitLease, ReplicaLimits
from control_plane.limits.rules import Exceeded, Kind, LimitScope, LimitStatus, limit_status_of
from control_plane.limits.shared import SharedLimits
from control_plane.metrics import Metrics
from control_plane.model_groups.catalog import Target
from control_plane.rate_limits import RateLimits
from control_plane.tenants.principal import Principal

MOST_TOKENS = 10**12
"""More is a provider's nonsense, and would not fit into Redis' numbers."""


class Permit:
    """Permission for one call. The holder settles it when the call has ended; `limit_status` is what the limits leave."""

    def __init__(self, limit_status: LimitStatus, hold: LimitLease, limits: ReplicaLimits) -> None:
        self.limit_status = limit_status
        self._hold: LimitLease | None = hold
        self._limits = limits

    async def give_back(self) -> None:
        """Returns it for a call that was never made: its replacement acquires its own. Never raises."""
        hold, self._hold = self._hold, None
        if hold is not None:
            await self._limits.settle(hold, None)

    async def settle(self, tokens: int) -> None:
        """The call used so many tokens. Its place among the calls at once is free when this returns. Never raises."""
        hold, self._hold = self._hold, None
        if hold is not None:
            await self._limits.settle(hold, min(tokens, MOST_TOKENS))


class LimitService:
    """The limits of teams, keys and model groups. Run `run()` as a task."""

    def __init__(
        self, *, redis_url: str | None = None, processes: Callable[[], int] = lambda: 1, metrics: Metrics | None = None
    ) -> None:
        """`processes`: how many servers live at the moment. Raises: InvalidConfig for an address that is none."""
        self._metrics = metrics or Metrics()
        try:
            shared = None if redis_url is None else SharedLimits(redis_url)
        except ValueError as error:
            raise InvalidConfig([f"CONTROL_PLANE_REDIS_URL is not the address of a Redis: {error}"]) from None
        self._limits = ReplicaLimits(shared, processes=processes, metrics=self._metrics)
        self.run = self._limits.run
        self.aclose = self._limits.aclose

    async def admit_call(self, principal: Principal, target: Target, tokens: int) -> Permit:
        """Leave for a call that may use so many tokens. Raises: RateLimited."""
        scopes = [_calls_of(f"team:{principal.team()}", "team", principal.team_rate_limits)]
        if principal.key_rate_limits.limits_calls:
            scopes.append(_calls_of(f"key:{principal.key_id}", "key", principal.key_rate_limits))
        if target.rate_limits.limits_calls:
            scopes.append(_calls_of(f"group:{target.group}", f"model group '{target.group}'", target.rate_limits))
        taken, scopes_here = await self._limits.take(scopes, str(new_id()), tokens)
        if isinstance(taken, Exceeded):
            raise self._refusal(
                scopes_here, taken, kind=taken.kind, limit_status=limit_status_of(scopes_here, taken.uses)
            )
        return Permit(limit_status_of(scopes_here, taken.taken.uses), taken, self._limits)

    async def admit_job(self, principal: Principal) -> None:
        """Leave for a new job. Raises: RateLimited."""
        limits = (
            (f"jobs:team:{principal.team()}", "team", principal.team_rate_limits.jobs_per_minute),
            (f"jobs:key:{principal.key_id}", "key", principal.key_rate_limits.jobs_per_minute),
        )
        scopes = [LimitScope(name, owner, requests=limit) for name, owner, limit in limits if limit is not None]
        taken, scopes_here = await self._limits.take(scopes, str(new_id()), 0)
        if isinstance(taken, Exceeded):
            raise self._refusal(scopes_here, taken, kind=Kind.JOBS)

    def _refusal(
        self, scopes: Sequence[LimitScope], exceeded: Exceeded, *, kind: Kind, limit_status: LimitStatus | None = None
    ) -> RateLimited:
        scope = scopes[exceeded.scope]
        self._metrics.limit_reached(owner=scope.owner.partition(" '")[0], kind=kind)
        limit = {Kind.TOKENS: scope.tokens, Kind.PARALLEL_CALLS: scope.parallel}.get(kind, scope.requests)
        assert limit is not None, "only what is limited can be exceeded"
        return RateLimited(
            owner=scope.owner,
            kind=kind,
            limit=limit,
            retry_after_ms=exceeded.retry_after_ms,
            limit_status=limit_status,
        )


def _calls_of(name: str, owner: str, rate_limits: RateLimits) -> LimitScope:
    return LimitScope(name, owner, rate_limits.rpm, rate_limits.tpm, rate_limits.max_parallel_calls)
