"""Who may use a model group is shown with its reason; a team sees nothing of others."""

import pytest

from control_plane.errors import ModelGroupNotAllowed, ModelGroupNotFound, TeamNotFound, TeamNotOwned, Unprocessable
from control_plane.ids import TeamId
from tests.support.services import ACME, ADMIN, DomainServices


async def test_the_administrator_sees_every_group_with_patterns_and_grants(services: DomainServices) -> None:
    await services.team()
    await services.team("zeta")
    for team_id in ("zeta", "acme"):
        await services.administration.set_model_groups(ADMIN, TeamId(team_id), ["ChatAgent"])
    views = await services.administration.access.list_groups(ADMIN)
    assert [(view.group.name, view.patterns, view.granted_teams) for view in views] == [
        ("ChatAgent", (), ["acme", "zeta"]),
        ("ForAcme", ("acme*",), ()),
        ("Secret", ("globex-*",), ()),
    ]


async def test_a_team_sees_the_groups_it_may_use_and_only_its_own_reasons(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    await services.team("zeta")
    for team_id in ("zeta", "acme"):
        await services.administration.set_model_groups(ADMIN, TeamId(team_id), ["ChatAgent"])
    access = services.administration.access
    views = await access.list_groups(principal)
    assert [(view.group.name, view.patterns, view.granted_teams) for view in views] == [
        ("ChatAgent", (), ["acme"]),
        ("ForAcme", ("acme*",), []),
    ]
    assert (await access.get_group(principal, "ForAcme")).group.models == ("claude",)
    with pytest.raises(ModelGroupNotAllowed):
        await access.get_group(principal, "Secret")
    with pytest.raises(ModelGroupNotFound) as unknown:
        await access.get_group(principal, "Unknown")
    assert "Secret" not in unknown.value.message


async def test_a_name_means_the_models_its_calls_run_on(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    await services.team("zeta")
    resolve = services.administration.access.resolve
    assert (await resolve(principal, "ForAcme", None)).models == ("claude",)
    assert (await resolve(ADMIN, "ForAcme", ACME)).team_has_access
    hidden = await resolve(ADMIN, "ForAcme", TeamId("zeta"))
    assert (hidden.team_has_access, hidden.models) == (False, ())
    with pytest.raises(TeamNotOwned):
        await resolve(principal, "ForAcme", TeamId("zeta"))
    with pytest.raises(ModelGroupNotFound):
        await resolve(ADMIN, "Unknown", ACME)
    with pytest.raises(TeamNotFound):
        await resolve(ADMIN, "ForAcme", TeamId("\x00"))
    with pytest.raises(Unprocessable):
        await resolve(ADMIN, "ForAcme", None)
