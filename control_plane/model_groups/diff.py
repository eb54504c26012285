"""The differences between two versions of the file, in sentences. Keys, addresses and texts of settings are never
shown: only that they changed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.model_groups.catalog import CachePolicy, Catalog, ModelGroup

SHOWN = frozenset({"model", "model_name", "base_model", "mode"})
"""Texts of a deployment that are no secret."""

NOTHING = RouterConfig(deployments=())

Facts = Mapping[str, Any]


def changes(before: Catalog | None, after: Catalog) -> list[str]:
    """One sentence for each change; none when only comments or the order differ. `before` None: everything is new."""
    old = NOTHING if before is None else before.router
    new = after.router
    return [
        *_between("model group", {} if before is None else _groups(before), _groups(after), is_shown=True),
        *_between("deployment", _deployments(old), _deployments(new)),
        *_between("", {"router_settings": old.router_settings}, {"router_settings": new.router_settings}),
        *_between(
            "",
            {"litellm_settings": {**old.litellm_settings, **_cache(CachePolicy() if before is None else before.cache)}},
            {"litellm_settings": {**new.litellm_settings, **_cache(after.cache)}},
        ),
        *_between(
            "",
            {"environment_variables": {} if before is None else before.environment},
            {"environment_variables": after.environment},
        ),
    ]


def _groups(catalog: Catalog) -> dict[str, Facts]:
    return {group.name: _group(group) for group in catalog.groups.values()}


def _group(group: ModelGroup) -> Facts:
    return {
        "description": group.description,
        "models": list(group.models),
        "teams": list(group.teams),
        "markup_bps": group.markup_bps,
        "rpm": group.rate_limits.rpm,
        "tpm": group.rate_limits.tpm,
        "max_parallel_calls": group.rate_limits.max_parallel_calls,
        "cache": group.cache,
        **{f"defaults.{name}": value for name, value in group.defaults.items()},
    }


def _cache(policy: CachePolicy) -> Facts:
    return {
        "cache": policy.is_on,
        "cache_params.ttl": policy.ttl_s,
        "cache_params.max_temperature": policy.max_temperature,
    }


def _deployments(config: RouterConfig) -> dict[str, Facts]:
    return {deployment.id: _deployment(deployment) for deployment in config.deployments}


def _deployment(deployment: Deployment) -> Facts:
    return {
        "model_name": deployment.model_name,
        **{f"litellm_params.{name}": value for name, value in deployment.params.items()},
        **{f"model_info.{name}": value for name, value in deployment.info.items() if name != "id"},
    }


def _between(
    kind: str, before: Mapping[str, Facts], after: Mapping[str, Facts], *, is_shown: bool = False
) -> Iterator[str]:
    """Removed, new and changed items. `is_shown`: all of it may be repeated."""
    for name in before:
        if name not in after:
            yield f"{kind} {name} is gone"
    for name, facts in after.items():
        title = f"{kind} {name}".strip()
        if name not in before:
            yield f"{title} is new"
            continue
        known = before[name]
        for fact in [*known, *(fact for fact in facts if fact not in known)]:
            if known.get(fact) != facts.get(fact):
                yield f"{title}: {fact} {_change(fact, known.get(fact), facts.get(fact), is_shown=is_shown)}"


def _change(fact: str, before: Any, after: Any, *, is_shown: bool) -> str:
    if (
        is_shown
        or fact.rpartition(".")[2] in SHOWN
        or all(isinstance(each, int | float | None) for each in (before, after))
    ):
        return f"{_said(before)} → {_said(after)}"
    return "is set" if before is None else "is unset" if after is None else "changed"


def _said(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, list):
        return f"[{', '.join(str(each) for each in value)}]"
    return repr(value) if isinstance(value, str) else str(value)
