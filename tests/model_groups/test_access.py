"""Who may use which group, and what a call runs on, as tables."""

import pytest

from control_plane.errors import ControlPlaneError, ModelGroupMissing, ModelGroupNotAllowed, ModelGroupNotFound
from control_plane.gateway.deployments import RouterConfig
from control_plane.ids import TeamId
from control_plane.model_groups.access import Origins, access_origins, choose, may_use, usable_groups, usable_names
from control_plane.model_groups.catalog import Catalog, ModelGroup, Target

ACME = TeamId("acme-corp")
OTHER = TeamId("umbrella")
NONE: frozenset[str] = frozenset()


def group(name: str, *models: str, teams: tuple[str, ...] = ()) -> ModelGroup:
    return ModelGroup(name=name, description="", models=models, teams=teams, defaults={"temperature": 0.2})


CATALOG = Catalog(
    groups={
        each.name: each
        for each in (
            group("Zeta", "big", "small", teams=("acme-*",)),
            group("Alpha", "small", "tiny", teams=("acme-corp", "demo")),
            group("Private", "secret-model", "small", teams=("umbrella",)),
            group("Nobody", "orphan"),
            group("tiny", "big", teams=("umbrella",)),
        )
    },
    router=RouterConfig(deployments=()),
    generation="1",
)


@pytest.mark.parametrize(
    ("patterns", "team", "grants", "allowed"),
    [
        ((), "acme-corp", NONE, False),
        ((), "acme-corp", frozenset({"G"}), True),
        ((), "acme-corp", frozenset({"g", "Other"}), False),
        (("acme-*",), "acme-corp", NONE, True),
        (("acme-*",), "acme", NONE, False),
        (("acme-*",), "ACME-corp", NONE, False),
        (("acme-*",), "not-acme-corp", NONE, False),
        (("acme",), "acme-corp", NONE, False),
        (("*",), "anyone", NONE, True),
        (("team-[12]",), "team-2", NONE, True),
        (("team-[12]",), "team-3", NONE, False),
        (("x", "y", "acme-?"), "acme-1", NONE, True),
    ],
)
def test_a_pattern_or_a_grant_allows_and_nothing_else(
    patterns: tuple[str, ...], team: str, grants: frozenset[str], allowed: bool
) -> None:
    assert may_use(group("G", "m", teams=patterns), TeamId(team), grants) is allowed


def test_the_origins_of_access_are_all_shown() -> None:
    shared = group("G", "m", teams=("acme-*", "x", "*corp"))
    assert access_origins(shared, ACME, frozenset({"G"})) == Origins(patterns=("acme-*", "*corp"), is_granted=True)
    assert access_origins(shared, OTHER, NONE) == Origins(patterns=(), is_granted=False)


def test_usable_groups_keep_the_order_of_the_file() -> None:
    assert usable_groups(CATALOG, ACME, NONE) == ["Zeta", "Alpha"]
    assert usable_groups(CATALOG, ACME, frozenset({"Nobody", "Gone"})) == ["Zeta", "Alpha", "Nobody"]
    assert usable_groups(CATALOG, TeamId("stranger"), NONE) == []


@pytest.mark.parametrize(
    ("asked", "defaults", "name", "models"),
    [
        ("Alpha", (), "Alpha", ("small", "tiny")),
        ("Alpha", ("Zeta",), "Alpha", ("small", "tiny")),
        ("big", (), "Zeta", ("big",)),
        ("small", (), "Zeta", ("small",)),  # the first group of the file that holds it, never Private
        (None, ("Alpha",), "Alpha", ("small", "tiny")),
        (None, (None, None, "Zeta"), "Zeta", ("big", "small")),
        (None, ("Alpha", "Zeta"), "Alpha", ("small", "tiny")),
        (None, ("small",), "Zeta", ("small",)),
    ],
)
def test_a_call_runs_on_what_was_asked_else_on_the_first_default(
    asked: str | None, defaults: tuple[str | None, ...], name: str, models: tuple[str, ...]
) -> None:
    target = choose(CATALOG, team=ACME, grants=NONE, asked=asked, defaults=defaults)
    assert target == Target(group=name, models=models, defaults={"temperature": 0.2})


def test_the_only_group_of_a_team_needs_no_name() -> None:
    target = choose(CATALOG, team=TeamId("demo"), grants=NONE, asked=None, defaults=(None,))
    assert target.group == "Alpha"


@pytest.mark.parametrize(
    ("team", "asked", "defaults", "error"),
    [
        (ACME, "Private", (), ModelGroupNotAllowed),
        (ACME, "Nobody", (), ModelGroupNotAllowed),
        (ACME, None, ("Private",), ModelGroupNotAllowed),  # a default that is not allowed any more
        (ACME, "tiny", (), ModelGroupNotAllowed),  # also a model of Alpha, but the group's name wins
        (ACME, "GPT4Agent", (), ModelGroupNotFound),
        (ACME, "secret-model", (), ModelGroupNotFound),  # only a group of others holds it
        (ACME, "orphan", (), ModelGroupNotFound),
        (ACME, "", (), ModelGroupNotFound),
        (ACME, "alpha", (), ModelGroupNotFound),
        (ACME, None, ("Gone",), ModelGroupNotFound),
        (ACME, None, (), ModelGroupMissing),
        (TeamId("stranger"), None, (), ModelGroupMissing),
        (TeamId("stranger"), "small", (), ModelGroupNotFound),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    team: TeamId, asked: str | None, defaults: tuple[str | None, ...], error: type[ControlPlaneError]
) -> None:
    with pytest.raises(error):
        choose(CATALOG, team=team, grants=NONE, asked=asked, defaults=defaults)


def test_a_refusal_names_only_groups_the_team_may_use() -> None:
    with pytest.raises(ModelGroupNotFound) as refusal:
        choose(CATALOG, team=ACME, grants=NONE, asked="GPT4Agent")
    assert refusal.value.message == "There is no model group 'GPT4Agent'. Groups you may use: Zeta, Alpha."
    with pytest.raises(ModelGroupMissing) as missing:
        choose(CATALOG, team=ACME, grants=NONE, asked=None)
    assert missing.value.facts["model_groups"] == ["Zeta", "Alpha"]


def test_the_sentence_of_a_forbidden_group_is_the_one_clients_know() -> None:
    with pytest.raises(ModelGroupNotAllowed) as refusal:
        choose(CATALOG, team=ACME, grants=NONE, asked="Private")
    assert refusal.value.message == "Team 'acme-corp' does not have access to model group 'Private'"


@pytest.mark.parametrize("team", [ACME, OTHER, TeamId("nobody")])
@pytest.mark.parametrize("grants", [NONE, frozenset({"Nobody", "gone"})])
@pytest.mark.parametrize("only", [None, NONE, frozenset({"Alpha"}), frozenset({"Zeta", "tiny", "Private"})])
def test_the_names_of_a_key_are_those_that_can_be_asked_for(
    team: TeamId, grants: frozenset[str], only: frozenset[str] | None
) -> None:
    models = {model for each in CATALOG.groups.values() for model in each.models}

    def can_be_asked_for(name: str) -> bool:
        try:
            return bool(choose(CATALOG, team=team, grants=grants, asked=name, only=only))
        except (ModelGroupNotAllowed, ModelGroupNotFound):
            return False

    names = usable_names(CATALOG, team, grants, only)
    assert len(names) == len(set(names))
    assert set(names) == {name for name in (*CATALOG.groups, *models) if can_be_asked_for(name)}
