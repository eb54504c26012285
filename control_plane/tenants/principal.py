"""The principal: the authenticated owner of a key, for every package."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from control_plane.audit.values import Actor, Means
from control_plane.errors import (
    AdminOnly,
    Forbidden,
    InvalidKey,
    OriginRefused,
    PermissionDenied,
    TeamNotOwned,
    TeamSuspended,
)
from control_plane.ids import JobId, KeyId, TeamId
from control_plane.rate_limits import UNLIMITED, RateLimits
from control_plane.tenants.roles import PLATFORM, TEAM_KEY, Permission, Place, Role, RoleAt, permits


@dataclass(frozen=True, slots=True)
class JobGrant:
    """A token's permissions: calls in this one job, and its completion if `may_complete`. `closed_as`: the job's
    status, once it is closed.
    """

    job_id: JobId
    may_complete: bool
    closed_as: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A person, or a program with a service key: has roles. `user_id`: None for a program."""

    actor: Actor
    roles: tuple[RoleAt, ...]
    user_id: UUID | None = None


MASTER = (RoleAt(Role.OWNER, PLATFORM),)
"""Roles of the master key."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A team through one of its keys, a member with roles, or the master key (then `team_id` and `member` are None).

    `is_publishable`: the key stands in web pages; `origins`: those whose pages may use it. `job_type`: of a publishable
    key's jobs, whatever a request sends; None: the API's default. `grant`: of a token, which stands in a web page as a
    publishable key does, and is for one job; None: of a key. `key_groups`: the only model groups the key may use of
    those its team may; None: all of them.
    """

    team_id: TeamId | None
    key_id: KeyId | None = None
    key_model_group: str | None = None
    team_model_group: str | None = None
    is_suspended: bool = False
    expires_at: datetime | None = None
    is_publishable: bool = False
    origins: frozenset[str] = frozenset()
    team_rate_limits: RateLimits = UNLIMITED
    key_rate_limits: RateLimits = UNLIMITED
    key_groups: frozenset[str] | None = None
    job_type: str | None = None
    grant: JobGrant | None = None
    member: Member | None = None

    @property
    def roles(self) -> tuple[RoleAt, ...]:
        """Of a member, or of the master key; a team's key has none."""
        if self.member is not None:
            return self.member.roles
        return MASTER if self.team_id is None else ()

    @property
    def actor(self) -> str:
        """The author's name in the ledger."""
        if self.member is not None:
            return f"{self.member.actor.means}:{self.member.actor.name}"
        return f"key:{self.key_id}" if self.key_id else "admin"

    @property
    def audited(self) -> Actor:
        """The author in the audit log."""
        if self.member is not None:
            return self.member.actor
        if self.team_id is None:
            return Actor(Means.MASTER_KEY, "master key")
        return Actor(Means.TEAM_KEY, f"key of team {self.team_id}", str(self.key_id))

    def can(self, permission: Permission, place: Place) -> bool:
        """Whether this principal has the permission at that place."""
        if self.team_id is not None:
            return permission in TEAM_KEY and place.team_id == self.team_id
        return permits(self.roles, permission, place)

    def places_with(self, permission: Permission) -> tuple[Place, ...]:
        """Where this principal has the permission: there and below. Raises: as `require_anywhere`, if nowhere."""
        self.require_anywhere(permission)
        if self.team_id is not None:
            return (Place(self.team_id),)
        return tuple(held.place for held in self.roles if permission in held.permissions)

    def require_anywhere(self, permission: Permission) -> None:
        """For what is checked before the place is known. Raises: as `require`, unless some role has the permission."""
        if self.team_id is not None:
            self.require(permission, Place(self.team_id))
        elif not any(permission in held.permissions for held in self.roles):
            self.require(permission, PLATFORM)

    def require(self, permission: Permission, place: Place) -> None:
        """Raises: TeamNotOwned, AdminOnly for a team's key; PermissionDenied."""
        if self.can(permission, place):
            return
        if self.team_id is None:
            raise PermissionDenied(
                f"This needs the permission '{permission}' for {place}; none of your roles has it there.",
                permission=permission.value,
            )
        raise TeamNotOwned if permission in TEAM_KEY and place.team_id is not None else AdminOnly

    def team(self) -> TeamId:
        """The key's team. Raises: Forbidden for the master key and for members, which have none."""
        if self.team_id is None:
            raise Forbidden("This route needs a team's key.")
        return self.team_id

    def active_team(self) -> TeamId:
        """The team that new work is done for. Raises: Forbidden for the master key, TeamSuspended."""
        if self.is_suspended:
            raise TeamSuspended
        return self.team()

    def require_origin(self, origin: str | None) -> None:
        """`origin`: the browser's origin of the page; None: not a browser.

        Raises: OriginRefused for a page that is not registered, and for a page key without a page.
        """
        if origin is None:
            if self.is_publishable:
                raise OriginRefused("This key is for web pages; servers need a secret key (sk-…).")
        elif origin not in self.origins:
            raise OriginRefused(
                f"The origin '{origin}' is not registered for this key; an administrator can register it."
                if self.grant is None
                else f"This job token is not for pages of '{origin}'; list the origin in `origins` when creating a token."
            )

    def require_unexpired(self, now: datetime) -> None:
        """Raises InvalidKey once the key has expired."""
        if self.expires_at is not None and now >= self.expires_at:
            raise InvalidKey
