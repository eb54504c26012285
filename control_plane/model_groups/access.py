"""Which teams may use which model group, and the models of a call. Pure: values in, values out. Default: no access."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from control_plane.errors import ModelGroupMissing, ModelGroupNotAllowed, ModelGroupNotFound
from control_plane.ids import TeamId
from control_plane.model_groups.catalog import Catalog, ModelGroup, Target


@dataclass(frozen=True, slots=True)
class Origins:
    """Why a team may use a group: the patterns of the YAML that match it, and whether it was granted through the API."""

    patterns: tuple[str, ...]
    is_granted: bool

    @property
    def is_allowed(self) -> bool:
        """One reason is enough; none is a no."""
        return self.is_granted or bool(self.patterns)


def access_origins(group: ModelGroup, team: TeamId, grants: frozenset[str]) -> Origins:
    """Every reason why the team may use the group. `grants`: names of groups granted to the team through the API."""
    return Origins(
        patterns=tuple(pattern for pattern in group.teams if fnmatchcase(team, pattern)),
        is_granted=group.name in grants,
    )


def may_use(group: ModelGroup, team: TeamId, grants: frozenset[str]) -> bool:
    """Whether a pattern of the YAML or a grant lets the team use the group. Upper and lower case differ."""
    return access_origins(group, team, grants).is_allowed


def usable_groups(
    catalog: Catalog, team: TeamId, grants: frozenset[str], only: frozenset[str] | None = None
) -> list[str]:
    """Names of the groups the team may use, in the file's order; of those, what its key is limited to (`only`).

    A grant for a group the file has lost counts nothing.
    """
    return [
        name
        for name, group in catalog.groups.items()
        if may_use(group, team, grants) and (only is None or name in only)
    ]


def usable_names(
    catalog: Catalog, team: TeamId, grants: frozenset[str], only: frozenset[str] | None = None
) -> list[str]:
    """Every name that `choose` takes from the key: its groups, then the models in them.

    A model that has the name of a group means that group, so it is none of the team's if the group is not.
    """
    groups = usable_groups(catalog, team, grants, only)
    models = (model for group in groups for model in catalog.groups[group].models if model not in catalog.groups)
    return list(dict.fromkeys((*groups, *models)))


def choose(
    catalog: Catalog,
    *,
    team: TeamId,
    grants: frozenset[str],
    asked: str | None,
    defaults: Sequence[str | None] = (),
    only: frozenset[str] | None = None,
) -> Target:
    """The models of a call of this team.

    `asked` is the name of a group or of a single model. A model's name stands for the first group, in the file's order,
    that the team may use and that holds it; the call then runs on that model alone. A name that is both is the group.
    Without `asked`: the first of `defaults` (the job's, the key's, the team's), else the team's only group. `only`: the
    groups its key is limited to; a default that is another group does not apply to it. Raises: ModelGroupNotAllowed,
    also for a default that was allowed once; ModelGroupNotFound, also for a model that only groups of others hold;
    ModelGroupMissing when there is nothing to choose by.
    """
    usable = usable_groups(catalog, team, grants, only)
    fitting = [wish for wish in defaults if only is None or wish in only or wish not in catalog.groups]
    name = next((wish for wish in (asked, *fitting) if wish is not None), None)
    if name is None:
        if len(usable) != 1:
            raise ModelGroupMissing(groups=usable)
        name = usable[0]
    if name in catalog.groups:
        if name not in usable:
            is_the_keys = may_use(catalog.groups[name], team, grants)
            raise ModelGroupNotAllowed(group=name, team=team, is_the_keys=is_the_keys)
        group = catalog.groups[name]
        return _target(catalog, group, group.models)
    for holder in (catalog.groups[usable_name] for usable_name in usable):
        if name in holder.models:
            return _target(catalog, holder, (name,))
    raise ModelGroupNotFound(group=name, known=usable)


def _target(catalog: Catalog, group: ModelGroup, models: tuple[str, ...]) -> Target:
    cache = catalog.cache if group.cache is None else replace(catalog.cache, is_on=group.cache)
    return Target(group.name, models, group.defaults, group.markup_bps, group.rate_limits, cache)
