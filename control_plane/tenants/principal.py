"""Who is asking: what a key stands for, as every room needs it."""

from dataclasses import dataclass
from datetime import datetime

from control_plane.errors import AdminOnly, Forbidden, InvalidKey, OriginRefused, TeamNotOwned, TeamSuspended
from control_plane.ids import JobId, KeyId, TeamId
from control_plane.rate_limits import UNLIMITED, RateLimits


@dataclass(frozen=True, slots=True)
class JobGrant:
    """What a token may do: call in this one job, and complete it if `may_complete`. `closed_as`: the job's status, once it
    is closed.
    """

    job_id: JobId
    may_complete: bool
    closed_as: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A team through one of its keys, or the administrator (then `team_id` and `key_id` are None).

    `is_publishable`: the key stands in web pages; `origins`: those whose pages may use it.
    `job_type`: what the jobs of a publishable key are called, whatever a request says; None: what the API calls them.
    `grant`: of a token, which stands in a web page as a publishable key does, and is for one job; None: of a key.
    `key_groups`: the only model groups the key may use of those its team may; None: all of them.
    """

    team_id: TeamId | None
    key_id: KeyId | None = None
    key_model_group: str | None = None
    team_model_group: str | None = None
    is_suspended: bool = False
    expires_at: datetime | None = None
    is_publishable: bool = False
    origins: frozenset[str] = frozenset()
    team_allowance: RateLimits = UNLIMITED
    key_allowance: RateLimits = UNLIMITED
    key_groups: frozenset[str] | None = None
    job_type: str | None = None
    grant: JobGrant | None = None

    @property
    def is_admin(self) -> bool:
        """Whether this is the master key."""
        return self.team_id is None

    @property
    def actor(self) -> str:
        """How the ledger names who did it."""
        return f"key:{self.key_id}" if self.key_id else "admin"

    def team(self) -> TeamId:
        """The key's team. Raises: Forbidden for the master key, which has none."""
        if self.team_id is None:
            raise Forbidden("This route needs a team's key; the master key belongs to no team.")
        return self.team_id

    def active_team(self) -> TeamId:
        """The team that new work is done for. Raises: Forbidden for the master key, TeamSuspended."""
        if self.is_suspended:
            raise TeamSuspended
        return self.team()

    def require_team(self, team_id: TeamId) -> None:
        """Raises TeamNotOwned unless this is the team's own key or the master key."""
        if not self.is_admin and self.team_id != team_id:
            raise TeamNotOwned

    def require_admin(self) -> None:
        """Raises AdminOnly unless this is the master key."""
        if not self.is_admin:
            raise AdminOnly

    def require_origin(self, origin: str | None) -> None:
        """`origin`: what a browser says of the page that asks; None: no browser asks.

        Raises: OriginRefused for a page that is not registered, and for a key of pages that no page uses.
        """
        if origin is None:
            if self.is_publishable:
                raise OriginRefused("This key is for web pages; servers need a secret key (sk-…).")
        elif origin not in self.origins:
            raise OriginRefused(
                f"The origin '{origin}' is not registered for this key; an administrator can register it."
                if self.grant is None
                else f"This token of a job is not for pages of '{origin}'; `origins` says so when one is made."
            )

    def require_unexpired(self, now: datetime) -> None:
        """Raises InvalidKey once the key has expired."""
        if self.expires_at is not None and now >= self.expires_at:
            raise InvalidKey
