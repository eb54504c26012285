"""What each role may do where."""

import pytest

from control_plane.api.openapi.operations import OPERATIONS
from control_plane.ids import OrganizationId, TeamId
from control_plane.tenants.roles import PLATFORM, Level, Permission, Place, Role, RoleAt, may_give, permits

ACME = Place(organization_id=OrganizationId("acme"))
SALES = Place(TeamId("sales"), OrganizationId("acme"))
OTHER = Place(TeamId("other"), OrganizationId("other"))
LONE = Place(TeamId("lone"))

CASES = [
    (Role.OWNER, PLATFORM, Permission.CREDITS_WRITE, SALES, True),
    (Role.OWNER, PLATFORM, Permission.CONFIGURATION_RELOAD, PLATFORM, True),
    (Role.ADMIN, PLATFORM, Permission.CREDITS_WRITE, SALES, False),
    (Role.ADMIN, PLATFORM, Permission.KEYS_WRITE, LONE, True),
    (Role.FINANCE, PLATFORM, Permission.CREDITS_WRITE, SALES, True),
    (Role.FINANCE, PLATFORM, Permission.KEYS_READ, SALES, False),
    (Role.VIEWER, PLATFORM, Permission.TEAMS_READ, OTHER, True),
    (Role.VIEWER, PLATFORM, Permission.TEAMS_WRITE, OTHER, False),
    (Role.OWNER, ACME, Permission.KEYS_WRITE, SALES, True),
    (Role.OWNER, ACME, Permission.KEYS_WRITE, OTHER, False),
    (Role.OWNER, ACME, Permission.KEYS_WRITE, LONE, False),
    (Role.OWNER, ACME, Permission.TEAMS_CREATE, ACME, True),
    (Role.OWNER, ACME, Permission.TEAMS_CREATE, PLATFORM, False),
    (Role.OWNER, ACME, Permission.CREDITS_WRITE, SALES, False),
    (Role.OWNER, ACME, Permission.PRICES_WRITE, SALES, False),
    (Role.ADMIN, ACME, Permission.LIMITS_WRITE, SALES, True),
    (Role.OWNER, SALES, Permission.KEYS_WRITE, SALES, True),
    (Role.OWNER, SALES, Permission.TOKENS_WRITE, SALES, True),
    (Role.OWNER, SALES, Permission.LIMITS_WRITE, SALES, False),
    (Role.OWNER, SALES, Permission.MODEL_GROUPS_GRANT, SALES, False),
    (Role.OWNER, SALES, Permission.CREDITS_WRITE, SALES, False),
    (Role.OWNER, SALES, Permission.TEAMS_READ, ACME, False),
    (Role.DEVELOPER, SALES, Permission.KEYS_WRITE, SALES, True),
    (Role.DEVELOPER, SALES, Permission.KEYS_WRITE, OTHER, False),
    (Role.VIEWER, SALES, Permission.JOBS_READ, SALES, True),
]


@pytest.mark.parametrize(("role", "held_at", "permission", "place", "expected"), CASES)
def test_a_role_permits_what_its_level_allows_there_and_below(
    role: Role, held_at: Place, permission: Permission, place: Place, expected: bool
) -> None:
    assert permits([RoleAt(role, held_at)], permission, place) is expected


@pytest.mark.parametrize("role", Role)
def test_nobody_raises_the_place_that_they_run(role: Role) -> None:
    held = [RoleAt(role, SALES)]
    for permission in (Permission.CREDITS_WRITE, Permission.LIMITS_WRITE, Permission.MODEL_GROUPS_GRANT):
        assert not permits(held, permission, SALES)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("held_at", [PLATFORM, ACME, SALES])
@pytest.mark.parametrize("given", Role)
@pytest.mark.parametrize("given_at", [PLATFORM, ACME, SALES, OTHER])
def test_no_role_is_given_that_permits_more_than_the_givers(
    role: Role, held_at: Place, given: Role, given_at: Place
) -> None:
    held = [RoleAt(role, held_at)]
    if may_give(held, RoleAt(given, given_at)):
        assert permits(held, Permission.TOKENS_WRITE, given_at)
        assert all(permits(held, each, given_at) for each in RoleAt(given, given_at).permissions)


def test_owners_give_every_role_at_and_below_their_place() -> None:
    for place in (ACME, SALES):
        for role in Role:
            assert may_give([RoleAt(Role.OWNER, ACME)], RoleAt(role, place))
    assert not may_give([RoleAt(Role.OWNER, ACME)], RoleAt(Role.VIEWER, PLATFORM))


def test_an_admin_makes_no_owner() -> None:
    for place in (PLATFORM, ACME, SALES):
        assert not may_give([RoleAt(Role.ADMIN, place)], RoleAt(Role.OWNER, place))
        assert may_give([RoleAt(Role.ADMIN, place)], RoleAt(Role.ADMIN, place))


WITHOUT_A_ROUTE = {Permission.LIMITS_WRITE, Permission.CONFIGURATION_READ, Permission.METRICS_READ}
"""Needed for some fields of a request or an answer, or for `/metrics`, which is not in the document."""


def test_every_permission_is_needed_for_something() -> None:
    routes = {operation.permission for operation in OPERATIONS.values()}
    assert set(Permission) - routes == WITHOUT_A_ROUTE
    for permission in Permission:
        assert permits([RoleAt(Role.OWNER, PLATFORM)], permission, PLATFORM)


@pytest.mark.parametrize(
    ("place", "level"), [(PLATFORM, Level.PLATFORM), (ACME, Level.ORGANIZATION), (LONE, Level.TEAM)]
)
def test_a_place_has_a_level(place: Place, level: Level) -> None:
    assert place.level is level
