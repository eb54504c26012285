"""Which teams lose which model groups with a new version of the file. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from control_plane.model_groups.catalog import Catalog

SHOWN = 20
"""Teams named for one group; the others are counted."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The teams that a model group admits: those that fit a pattern of the YAML, and those it was granted to through
    the API.
    """

    patterns: Sequence[str]
    granted: Sequence[str] = ()


def admissions(catalog: Catalog) -> Mapping[str, Admission]:
    """The teams that the groups of a file admit by their patterns."""
    return {group.name: Admission(group.teams) for group in catalog.groups.values()}


def may_lose(before: Mapping[str, Admission], after: Catalog) -> bool:
    """Whether a group is gone, or lacks a pattern it had; if not, no team has to be checked."""
    return any(
        name not in after.groups or set(admission.patterns) - set(after.groups[name].teams)
        for name, admission in before.items()
    )


def lost_access(before: Mapping[str, Admission], after: Catalog, teams: Iterable[str]) -> Mapping[str, list[str]]:
    """The teams that lose each group, by its name; groups without losses are left out."""
    known = sorted({*teams, *(team for admission in before.values() for team in admission.granted)})
    lost = {
        name: [team for team in known if _admits(admission, team) and not _still_admits(name, admission, after, team)]
        for name, admission in before.items()
    }
    return {name: losers for name, losers in lost.items() if losers}


def lost_patterns(before: Mapping[str, Admission], after: Catalog) -> Mapping[str, list[str]]:
    """The same without a server to list its teams: the patterns that no longer admit to a group."""
    lost = {
        name: [
            pattern
            for pattern in admission.patterns
            if name not in after.groups or pattern not in after.groups[name].teams
        ]
        for name, admission in before.items()
    }
    return {name: patterns for name, patterns in lost.items() if patterns}


def sentences(lost: Mapping[str, Sequence[str]], *, what: str = "team") -> list[str]:
    """`Model group X is lost by the teams a, b.`, for each group."""
    return [f"Model group {name} is lost by {_named(losers, what)}." for name, losers in lost.items()]


def _named(losers: Sequence[str], what: str) -> str:
    more = len(losers) - SHOWN
    named = ", ".join(losers[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"the {what}{'' if len(losers) == 1 else 's'} {named}"


def _admits(admission: Admission, team: str) -> bool:
    return team in admission.granted or any(fnmatchcase(team, pattern) for pattern in admission.patterns)


def _still_admits(name: str, before: Admission, after: Catalog, team: str) -> bool:
    group = after.groups.get(name)
    return group is not None and _admits(Admission(group.teams, before.granted), team)
