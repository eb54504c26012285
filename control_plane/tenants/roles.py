"""Roles and permissions, as one table. Pure.

A person or program has roles, each at one place: the platform, an organization or a team. A role at a place holds for
everything below it: an organization's for its teams, the platform's for all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from control_plane.ids import OrganizationId, TeamId


class Permission(StrEnum):
    """What a request needs. Named `thing:action`, as messages and the guide show them."""

    ORGANIZATIONS_READ = "organizations:read"
    ORGANIZATIONS_WRITE = "organizations:write"
    TEAMS_READ = "teams:read"
    TEAMS_WRITE = "teams:write"
    TEAMS_CREATE = "teams:create"
    TEAMS_SUSPEND = "teams:suspend"
    LIMITS_WRITE = "limits:write"
    PRICES_WRITE = "prices:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    MODEL_GROUPS_READ = "model_groups:read"
    MODEL_GROUPS_GRANT = "model_groups:grant"
    CREDITS_READ = "credits:read"
    CREDITS_WRITE = "credits:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    USAGE_READ = "usage:read"
    RECONCILIATION_READ = "reconciliation:read"
    CONFIGURATION_READ = "configuration:read"
    CONFIGURATION_RELOAD = "configuration:reload"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"


class Role(StrEnum):
    """A job that people do."""

    OWNER = "owner"
    ADMIN = "admin"
    FINANCE = "finance"
    DEVELOPER = "developer"
    VIEWER = "viewer"


class Level(StrEnum):
    """How far a role reaches."""

    PLATFORM = "platform"
    ORGANIZATION = "organization"
    TEAM = "team"


READ = frozenset(
    {
        Permission.ORGANIZATIONS_READ,
        Permission.TEAMS_READ,
        Permission.MODEL_GROUPS_READ,
        Permission.CREDITS_READ,
        Permission.JOBS_READ,
        Permission.USAGE_READ,
        Permission.RECONCILIATION_READ,
        Permission.CONFIGURATION_READ,
        Permission.METRICS_READ,
    }
)

ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: READ
    | {
        Permission.TEAMS_WRITE,
        Permission.TEAMS_CREATE,
        Permission.TEAMS_SUSPEND,
        Permission.LIMITS_WRITE,
        Permission.JOBS_WRITE,
        Permission.KEYS_READ,
        Permission.KEYS_WRITE,
        Permission.MODEL_GROUPS_GRANT,
        Permission.CONFIGURATION_RELOAD,
        Permission.TOKENS_READ,
        Permission.TOKENS_WRITE,
        Permission.AUDIT_READ,
    },
    Role.FINANCE: READ
    | {
        Permission.CREDITS_WRITE,
        Permission.PRICES_WRITE,
        Permission.AUDIT_READ,
    },
    Role.DEVELOPER: READ
    | {
        Permission.KEYS_READ,
        Permission.KEYS_WRITE,
        Permission.JOBS_WRITE,
    },
    Role.VIEWER: READ,
}
"""What each role may do, as far as its level allows (`BEYOND`)."""

_BEYOND_ORGANIZATION = frozenset(
    {
        Permission.ORGANIZATIONS_WRITE,
        Permission.PRICES_WRITE,
        Permission.CREDITS_WRITE,
        Permission.RECONCILIATION_READ,
        Permission.CONFIGURATION_READ,
        Permission.CONFIGURATION_RELOAD,
        Permission.METRICS_READ,
    }
)

BEYOND: Mapping[Level, frozenset[Permission]] = {
    Level.PLATFORM: frozenset(),
    Level.ORGANIZATION: _BEYOND_ORGANIZATION,
    Level.TEAM: _BEYOND_ORGANIZATION
    | {
        Permission.ORGANIZATIONS_READ,
        Permission.TEAMS_CREATE,
        Permission.TEAMS_SUSPEND,
        Permission.LIMITS_WRITE,
        Permission.MODEL_GROUPS_GRANT,
    },
}
"""What no role may do at a level: no one who runs a place gives it credits, groups or higher limits."""

TEAM_KEY = frozenset(
    {
        Permission.TEAMS_READ,
        Permission.MODEL_GROUPS_READ,
        Permission.CREDITS_READ,
        Permission.JOBS_READ,
        Permission.JOBS_WRITE,
        Permission.USAGE_READ,
    }
)
"""What a team's virtual key may do in its team."""

RANK = {role: number for number, role in enumerate(reversed(Role))}
"""Which roles are above which: the higher number."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a permission is needed or held: a team and its organization, an organization, or (neither) the platform."""

    team_id: TeamId | None = None
    organization_id: OrganizationId | None = None

    @property
    def level(self) -> Level:
        """Of a role at this place."""
        if self.team_id is not None:
            return Level.TEAM
        return Level.PLATFORM if self.organization_id is None else Level.ORGANIZATION

    def contains(self, other: "Place") -> bool:
        """Whether the other place is this one or below it."""
        if self.team_id is not None:
            return self.team_id == other.team_id
        return self.organization_id is None or self.organization_id == other.organization_id

    def __str__(self) -> str:
        """As messages name it."""
        if self.team_id is not None:
            return f"team '{self.team_id}'"
        return "the platform" if self.organization_id is None else f"organization '{self.organization_id}'"


PLATFORM = Place()


@dataclass(frozen=True, slots=True)
class RoleAt:
    """A role at a place."""

    role: Role
    place: Place

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the role may do there and below."""
        return ROLES[self.role] - BEYOND[self.place.level]


def permits(roles: Iterable[RoleAt], permission: Permission, place: Place) -> bool:
    """Whether one of the roles has the permission at that place."""
    return any(permission in held.permissions and held.place.contains(place) for held in roles)


def may_give(roles: Iterable[RoleAt], given: RoleAt) -> bool:
    """Whether holders of these roles may give or take that one: one of theirs is as high, and theirs have all of its
    permissions, there.
    """
    held = [each for each in roles if each.place.contains(given.place)]
    givers = [each for each in held if Permission.TOKENS_WRITE in each.permissions]
    return any(RANK[each.role] >= RANK[given.role] for each in givers) and all(
        permits(held, permission, given.place) for permission in given.permissions
    )
