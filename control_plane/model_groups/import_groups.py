"""Model groups from the routing of a LiteLLM proxy: its model names, aliases and fallbacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from control_plane.model_groups.import_models import Models, Reporting
from control_plane.model_groups.problems import Path

MOST_FALLBACKS = 10
"""Models that a group has, at most: more are no help to a call that fails."""

ALWAYS = "fallbacks"


@dataclass(frozen=True, slots=True)
class Groups:
    """Fallbacks and aliases, as they stand in the two sections of settings."""

    SETTINGS: ClassVar[frozenset[str]] = frozenset(
        {
            "fallbacks",
            "default_fallbacks",
            "context_window_fallbacks",
            "content_policy_fallbacks",
            "model_group_alias",
            "model_alias_map",
        }
    )
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    default: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Mapping[str, Any]], report: Reporting) -> "Groups":
        """The settings' values."""
        fallbacks: dict[str, list[str]] = {}
        default: list[str] = []
        aliases: dict[str, str] = {}
        for section, values in settings.items():
            for name in sorted(cls.SETTINGS & values.keys(), key=lambda name: name != ALWAYS):
                path: Path = (section, name)
                value = values[name]
                if not value:
                    continue
                if name.endswith(("alias", "alias_map")):
                    aliases |= dict(_aliases(value))
                    report.add("changed", path, "each alias became a model group")
                elif name == "default_fallbacks":
                    default += _models(value)
                    report.add("changed", path, "they became the last models of each model group")
                else:
                    for model, others in _pairs(value):
                        fallbacks.setdefault(model, []).extend(others)
                    when = "" if name == ALWAYS else "; they are tried after any failure, not only that one"
                    report.add("changed", path, f"they became the further models of the model groups{when}")
        return cls(fallbacks, default, aliases)

    def make(self, models: Models, teams: Sequence[str], report: Reporting) -> dict[str, Any]:
        """A group for each name that clients could use."""
        known = list(dict.fromkeys(str(each["model_name"]) for each in models.deployments))
        groups: dict[str, Any] = {}
        asked = {name: name for name in known} | {alias: self._target(alias) for alias in self.aliases}
        for name, model in asked.items():
            if model not in known:
                report.add("dropped", ("model_group_alias", name), f"there is no model {model!r}")
                continue
            chain = self._models_of(model, known)
            groups[name] = {"models": chain, "teams": [] if models.restricted & set(chain) else list(teams)}
        return groups

    def _target(self, alias: str) -> str:
        seen = {alias}
        while (target := self.aliases[alias]) in self.aliases and target not in seen:
            seen.add(target)
            alias = target
        return target

    def _models_of(self, model: str, known: Sequence[str]) -> list[str]:
        """The model, its fallbacks and theirs, then the general ones; each once, aliases resolved."""
        found: list[str] = []
        waiting = [model]
        while waiting and len(found) < MOST_FALLBACKS:
            each = waiting.pop(0)
            each = self._target(each) if each in self.aliases and each not in known else each
            if each in found or each not in known:
                continue
            found.append(each)
            waiting += self.fallbacks.get(each, [])
        found += [each for each in (*self.fallbacks.get("*", ()), *self.default) if each in known and each not in found]
        return found[:MOST_FALLBACKS]


def _pairs(value: Any) -> Iterator[tuple[str, list[str]]]:
    for item in value if isinstance(value, list) else [value]:
        for model, others in item.items() if isinstance(item, Mapping) else ():
            yield str(model), _models(others)


def _models(value: Any) -> list[str]:
    """Names of models, of fallbacks with parameters of their own too."""
    listed = value if isinstance(value, list) else [value]
    names = (each.get("model") if isinstance(each, Mapping) else each for each in listed)
    return [name for name in names if isinstance(name, str)]


def _aliases(value: Any) -> Iterator[tuple[str, str]]:
    for alias, target in value.items() if isinstance(value, Mapping) else ():
        model = target.get("model") if isinstance(target, Mapping) else target
        if isinstance(model, str):
            yield str(alias), model
