"""A configuration of LiteLLM's proxy as one of ours: its models as model groups, and a report of what became of the rest.

Pure. What cannot be taken over is dropped with its reason, never silently. Values are not repeated: they may be secrets.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import yaml

from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.config import inspect_text
from control_plane.model_groups.import_groups import Groups
from control_plane.model_groups.import_models import import_models
from control_plane.model_groups.problems import Path, Problems
from control_plane.model_groups.schema import LitellmSettings, RouterSettings

Action = Literal["taken", "changed", "dropped"]
ROUNDS = 200
"""Mistakes that are taken out of the result, one after the other."""

HEADER = """\
# yaml-language-server: $schema=control_plane/model_groups/litellm_config.schema.json
# Made by `control-plane config import`. Look at who may use which model group (teams) and at prices of 0.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one place of the old file. `path` as in `model_list[0].litellm_params`."""

    action: Action
    path: str
    why: str


class Report:
    """Collects what became of each place."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, action: Action, path: Path, why: str) -> None:
        """Write down one place, once."""
        entry = Entry(action, written(path), why)
        if entry not in self.entries:
            self.entries.append(entry)

    def count(self, action: Action) -> int:
        """How many places this became of."""
        return sum(entry.action == action for entry in self.entries)

    def as_json(self) -> list[dict[str, str]]:
        """All of them."""
        return [asdict(entry) for entry in self.entries]


@dataclass(frozen=True, slots=True)
class Imported:
    """The new file, and what became of the old one. `mistakes`: what keeps the new one from being used, still."""

    text: str
    report: Report
    mistakes: Sequence[str]


def import_file(values: Mapping[str, Any], teams: Sequence[str]) -> Imported:
    """`values`: the old file's sections. `teams`: patterns of the teams that may use its models."""
    report = Report()
    values = _with_our_references(copy.deepcopy(dict(values)), (), report)
    models = import_models(values.get("model_list"), report)
    file: dict[str, Any] = {"model_list": models.deployments}
    settings = {section: _mapping(values.get(section)) for section in ("router_settings", "litellm_settings")}
    groups = Groups.of(settings, report)
    _take_settings(file, "router_settings", settings["router_settings"], report)
    _take_settings(file, "litellm_settings", settings["litellm_settings"], report)
    for section in ("environment_variables", "credential_list"):
        if values.get(section):
            file[section] = values[section]
            report.add("taken", (section,), "as it stands")
    _drop_sections(values, report)
    file[names.OUR_SECTION] = groups.make(models, teams, report)
    for _ in range(ROUNDS):
        problems = Problems("the new file")
        inspection = inspect_text(_text(file), None, problems)
        if inspection.catalog is not None or not _take_out_first(file, models.sources, problems, report):
            break
        file[names.OUR_SECTION] = groups.make(models, teams, report)
    return Imported(_text(file), report, [finding.sentence for finding in inspection.errors])


def written(path: Path) -> str:
    """A place, as in `model_list[0].litellm_params`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _text(file: Mapping[str, Any]) -> str:
    return HEADER + yaml.safe_dump(dict(file), sort_keys=False, allow_unicode=True, width=120)


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else {}


def _take_settings(file: dict[str, Any], section: str, settings: Mapping[str, Any], report: Report) -> None:
    refused = names.REFUSED_ROUTER_ARGUMENTS if section == "router_settings" else names.REFUSED_MODULE_SETTINGS
    known = (RouterSettings if section == "router_settings" else LitellmSettings).model_fields
    taken = {}
    for name, value in settings.items():
        path: Path = (section, name)
        if name in Groups.SETTINGS:
            continue  # they have become model groups
        if name in refused:
            if value:
                report.add("dropped", path, refused[name])
        elif name not in known:
            report.add(
                "dropped", path, "no setting of ours: only LiteLLM's proxy, or another part of LiteLLM, reads it"
            )
        elif name == "cache_params":
            taken[name] = _cache_params(value, report)
        else:
            taken[name] = value
            report.add("taken", path, "with LiteLLM's meaning")
    if taken := {name: value for name, value in taken.items() if value is not None}:
        file[section] = taken


def _cache_params(value: Any, report: Report) -> dict[str, Any] | None:
    taken = {}
    for name, each in _mapping(value).items():
        path: Path = ("litellm_settings", "cache_params", name)
        if name in ("ttl", "max_temperature"):
            taken[name] = each
            report.add("taken", path, "with LiteLLM's meaning")
        else:
            report.add("dropped", path, names.REFUSED_CACHE_PARAMETERS.get(name, "no setting of ours"))
    return taken or None


def _drop_sections(values: Mapping[str, Any], report: Report) -> None:
    handled = {"model_list", "router_settings", "litellm_settings", "environment_variables", "credential_list"}
    for section, value in values.items():
        if section in handled or section == names.OUR_SECTION or not value:
            continue
        if section == "general_settings" and isinstance(value, Mapping):
            whys = {**names.UNUSED_GENERAL_SETTINGS, **names.REFUSED_GENERAL_SETTINGS}
            for name in value:
                report.add("dropped", (section, str(name)), whys.get(str(name), "only LiteLLM's proxy reads it"))
            continue
        whys = {**names.UNUSED_SECTIONS, **names.REFUSED_SECTIONS}
        report.add("dropped", (str(section),), whys.get(section, "only LiteLLM's proxy reads it"))


FOREIGN = re.compile(r"(?:os\.env\w*[./:]|env[/:]|\$env:|\$\{?)(?P<name>[A-Z_][A-Z0-9_]*)\}?")


def _with_our_references(value: Any, path: Path, report: Report) -> Any:
    """Variables that other tools write as `${NAME}`, as we write them. Changes the value in its place."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            value[key] = _with_our_references(inner, (*path, key), report)
    elif isinstance(value, str) and not value.startswith("os.environ/") and (foreign := FOREIGN.fullmatch(value)):
        report.add("changed", path, f"written os.environ/{foreign['name']} here")
        return f"os.environ/{foreign['name']}"
    return value


def _take_out_first(file: dict[str, Any], sources: list[int], problems: Problems, report: Report) -> bool:
    """Take the first thing out that the check refuses, as small a one as helps; whether there was one to take.

    `sources`: where the deployments came from, for the report.
    """
    for finding in problems.findings("error"):
        path = tuple(_steps(finding.path))
        if not path or path[0] == names.OUR_SECTION:
            continue
        cut = _cut(path, file)
        if cut is not None and _remove(file, cut):
            source = (cut[0], sources[int(cut[1])], *cut[2:]) if cut[0] == "model_list" else cut
            if len(cut) == 2 and cut[0] == "model_list":  # noqa: PLR2004 - a whole deployment
                del sources[int(cut[1])]
            report.add("dropped", source, f"the check refuses it: {finding.message}")
            return True
    return False


def _cut(path: Path, file: Mapping[str, Any]) -> Path | None:
    """Where to cut: a deployment without its model or price is of no use, its other keys can be spared."""
    if path[0] != "model_list":
        return path if _has(file, path) else path[:2]
    if len(path) >= 4 and path[3] != "model" and _has(file, path[:4]):  # noqa: PLR2004 - model_list, 0, litellm_params, key
        return path[:4]
    return path[:2] if len(path) > 1 else None


def _has(value: Any, path: Path) -> bool:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return False
    return True


def _remove(file: Any, path: Path) -> bool:
    if not _has(file, path):
        return False
    for step in path[:-1]:
        file = file[step]
    del file[path[-1]]
    return True


def _steps(path: str) -> Iterator[str | int]:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        yield name or int(index)
