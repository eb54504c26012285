"""Reads, checks and freezes `litellm_config.yaml`. A file with mistakes gives no catalog but all of them, by line."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from pydantic import BaseModel, ValidationError

from control_plane.errors import InvalidConfig
from control_plane.gateway.deployments import RouterConfig
from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.catalog import CachePolicy, Catalog, ModelGroup
from control_plane.model_groups.deployments import make_deployments, model_names, report_typos
from control_plane.model_groups.environment import resolve
from control_plane.model_groups.messages import report_missing_groups, report_shape
from control_plane.model_groups.plain import report_no_json, report_unwritable
from control_plane.model_groups.problems import Finding, Path, Problems, did_you_mean
from control_plane.model_groups.schema import OURS, LitellmSettings, ModelGroupEntry, RouterSettings
from control_plane.model_groups.unused import report_unused
from control_plane.model_groups.yaml_source import read_yaml
from control_plane.rate_limits import RateLimits

CACHE_PARAMETERS = {"ttl": "ttl_s", "max_temperature": "max_temperature"}

MAX_BYTES = 4 * 2**20
"""A deployment takes a few hundred bytes, and PyYAML a second for each 100 KB."""

NO_FILE = "there is no such file; CONTROL_PLANE_CONFIG names the file to read, ./litellm_config.yaml if unset"

IN_USE = (*names.SECTIONS_IN_USE, names.OUR_SECTION)


@dataclass(frozen=True, slots=True)
class Inspection:
    """The findings in a file. `catalog` is None when there is a mistake."""

    catalog: Catalog | None
    problems: Problems

    @property
    def errors(self) -> Sequence[Finding]:
        """Every mistake, by line."""
        return self.problems.findings("error")

    @property
    def warnings(self) -> Sequence[Finding]:
        """Findings with which the file can be used, by line."""
        return self.problems.findings("warning")


def load_catalog(path: File, environ: Mapping[str, str]) -> Catalog:
    """The catalog of a file, with `os.environ/NAME` taken from `environ` and the file's `environment_variables`.

    Raises: InvalidConfig with every mistake found, one sentence each, by line. The sentences show names, never what came
    from the environment or what a key, address or setting is.
    """
    inspection = inspect(path, environ)
    if inspection.catalog is None:
        raise InvalidConfig([finding.sentence for finding in inspection.errors])
    return inspection.catalog


def inspect(path: File, environ: Mapping[str, str] | None) -> Inspection:
    """All findings in a file. `environ` None: no variable is known, and each is taken as present.

    Raises: InvalidConfig for a fault of this program's.
    """
    try:
        return _inspect(path, environ)
    except Exception as error:
        unforeseen = f"the file cannot be used, for a reason that was not foreseen ({type(error).__name__})"
        raise InvalidConfig([f"{path}: {unforeseen}; please report it"]) from error


def _inspect(path: File, environ: Mapping[str, str] | None) -> Inspection:
    problems = Problems(str(path))
    text = _read(path, problems)
    return Inspection(None, problems) if text is None else inspect_text(text, environ, problems)


def read_file(path: File, problems: Problems) -> Mapping[str, Any] | None:
    """The sections of a file as they stand there, whatever they mean; None when they cannot be read, which is reported."""
    text = _read(path, problems)
    document = None if text is None else read_yaml(text, problems)
    if document is None or problems.findings("error"):
        return None
    problems.locate(document.lines)
    if not isinstance(document.values, dict):
        problems.add_at(1, "the file must be a mapping of sections, such as model_list")
        return None
    return document.values


def inspect_text(text: str, environ: Mapping[str, str] | None, problems: Problems) -> Inspection:
    """Everything that is found in the text of a file."""
    values = _values(text, environ, problems)
    if values is None or report_unwritable(values, problems):
        return Inspection(None, problems)  # pydantic could not locate a key with such characters
    report_shape(values, problems)
    report_typos(values, problems)
    variables = _text_values(values.get("environment_variables"))
    deployments = make_deployments(values, None if environ is None else {**environ, **variables}, problems)
    litellm_settings = _settings(values, "litellm_settings", LitellmSettings, names.REFUSED_MODULE_SETTINGS)
    generation = _generation(text)
    groups = _groups(values, problems)
    router = RouterConfig(
        deployments=deployments,
        router_settings=_settings(values, "router_settings", RouterSettings, names.REFUSED_ROUTER_ARGUMENTS),
        litellm_settings={name: value for name, value in litellm_settings.items() if name not in OURS},
    )
    _report_redis(router.router_settings, problems)
    report_no_json({name: section for name, section in values.items() if name in IN_USE}, problems)
    report_unused(values, problems)
    if problems.findings("error"):
        return Inspection(None, problems)
    catalog = Catalog(
        groups=groups,
        router=router,
        generation=generation,
        environment=variables,
        cache=_cache(litellm_settings, generation),
        warnings=tuple(finding.sentence for finding in problems.findings("warning")),
    )
    return Inspection(catalog, problems)


def generation_of(content: bytes) -> str:
    """Identifies a version of the file, usable or not."""
    return _generation(_with_line_feeds(content.decode(errors="replace")))


def _generation(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(path: File, problems: Problems) -> str | None:
    """The file's text with line feeds only; None when there is none, which is then reported."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        problems.add_at(None, NO_FILE)
        return None
    except OSError as error:
        problems.add_at(None, f"the file cannot be read: {error.strerror}")
        return None
    if len(content) > MAX_BYTES:
        problems.add_at(None, f"the file is larger than {MAX_BYTES} bytes")
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        problems.add_at(content.count(b"\n", 0, error.start) + 1, "the file is not UTF-8 text")
        return None
    return _with_line_feeds(text)


def _values(text: str, environ: Mapping[str, str] | None, problems: Problems) -> dict[str, Any] | None:
    """The file's sections with the environment filled in, empty ones left out; None when there is nothing to check."""
    document = read_yaml(text, problems)
    if document is None:
        return None
    problems.locate(document.lines)
    if document.values is None:
        problems.add_at(1, "the file is empty; it needs model_list and model_groups")
        return None
    if not isinstance(document.values, dict):
        problems.add_at(1, "the file must be a mapping with the sections model_list and model_groups")
        return None
    sections = {name: value for name, value in document.values.items() if value is not None and isinstance(name, str)}
    variables = resolve(sections.get("environment_variables"), environ, ("environment_variables",), problems)
    known = None if environ is None else {**environ, **_text_values(variables)}
    for name in IN_USE:  # what only the proxy reads may name variables that only the proxy has
        if name in sections:
            sections[name] = resolve(sections[name], known, (name,), problems)
    if not sections.get(names.OUR_SECTION):
        report_missing_groups(problems)
    return sections


def _text_values(variables: Any) -> dict[str, str]:
    if not isinstance(variables, dict):
        return {}
    return {str(name): str(value) for name, value in variables.items()}


def _cache(settings: Mapping[str, Any], generation: str) -> CachePolicy:
    """The response cache's settings in `litellm_settings`."""
    given = settings.get("cache_params") or {}
    parameters = {ours: given[name] for name, ours in CACHE_PARAMETERS.items() if given.get(name) is not None}
    return CachePolicy(is_on=settings.get("cache"), generation=generation, **parameters)


def _groups(values: Mapping[str, Any], problems: Problems) -> dict[str, ModelGroup]:
    known = model_names(values)
    listed = values.get("model_list")
    are_known = not any(
        problems.is_assumed(("model_list", index, "model_name"))
        for index in range(len(listed) if isinstance(listed, list) else 0)
    )
    entries = values.get(names.OUR_SECTION)
    groups = {}
    for name, value in entries.items() if isinstance(entries, dict) else ():
        _report_models(name, value, known if are_known else None, problems)
        try:
            entry = ModelGroupEntry.model_validate(value)
        except ValidationError:
            continue
        groups[name] = ModelGroup(
            name=name,
            description=entry.description,
            models=tuple(entry.models),
            teams=tuple(entry.teams),
            defaults=entry.defaults.model_dump(exclude_unset=True),
            markup_bps=entry.markup_bps,
            rate_limits=RateLimits(entry.rpm, entry.tpm, entry.max_parallel_calls),
            cache=entry.cache,
        )
    return groups


def _report_models(group: str, value: Any, known: list[str] | None, problems: Problems) -> None:
    """Report models of a group that are not in `model_list`, or are listed twice. `known` None: names are assumed."""
    models = value.get("models") if isinstance(value, dict) else None
    seen: set[str] = set()
    for index, model in enumerate(models if isinstance(models, list) else []):
        path: Path = (names.OUR_SECTION, group, "models", index)
        if not isinstance(model, str):
            continue
        if known is not None and model not in known:
            problems.add(
                path, f"model {model!r} of model group {group!r} is not in model_list{did_you_mean(model, known)}"
            )
        elif model in seen:
            problems.add(
                path, f"model {model!r} stands twice in model group {group!r}; a model is no fallback for itself"
            )
        seen.add(model)


def _settings(
    values: Mapping[str, Any], section: str, shape: type[BaseModel], refused: Mapping[str, str]
) -> dict[str, Any]:
    """A section of LiteLLM's settings with numbers as numbers, without the keys that may only stand there unused."""
    try:
        settings = shape.model_validate(values.get(section, {})).model_dump(exclude_unset=True)
    except ValidationError:
        return {}
    return {key: value for key, value in settings.items() if key not in refused}


def _report_redis(settings: Mapping[str, Any], problems: Problems) -> None:
    if Counter(key in settings for key in ("redis_host", "redis_port"))[True] == 1 and "redis_url" not in settings:
        problems.add(
            ("router_settings", "redis_host" if "redis_host" in settings else "redis_port"),
            "redis_host and redis_port must both be given (or redis_url instead): LiteLLM would silently use no Redis",
        )
