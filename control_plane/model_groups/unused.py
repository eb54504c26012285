"""What a file says that has no effect here, though LiteLLM's proxy would act on it: a warning for each, at its line.

What would be dangerous to ignore is refused instead: see `REFUSED_…` in `litellm_names.py`, and `schema.py`.
"""

from collections.abc import Mapping
from typing import Any

from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.problems import Path, Problems

ONLY_THE_PROXY = "only LiteLLM's proxy reads it"

ENFORCING_STRATEGIES = ("usage-based-routing", "usage-based-routing-v2")
ENFORCING_CHECK = "enforce_model_rate_limits"


def report_unused(values: Mapping[str, Any], problems: Problems) -> None:
    """Warn of sections, settings and keys of deployments that nothing here depends on."""
    for section in names.PROXY_SECTIONS:
        if not values.get(section):
            continue
        if section == "general_settings" and isinstance(values[section], dict):
            _report_general_settings(values[section], problems)
        else:
            problems.warn((section,), f"not used here: {section}; {names.UNUSED_SECTIONS.get(section, ONLY_THE_PROXY)}")
    items = values.get("model_list")
    limits = _limits(values.get("router_settings"))
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            path: Path = ("model_list", index)
            _report_keys(item.get("litellm_params"), {**names.UNUSED_PARAMETERS, **limits}, path, problems)
            _report_keys(item.get("model_info"), names.UNUSED_INFO, path, problems, section="model_info")


def _report_general_settings(settings: Mapping[str, Any], problems: Problems) -> None:
    for name, value in settings.items():
        if value is None or value in ([], {}, "") or name in names.REFUSED_GENERAL_SETTINGS:
            continue
        why = names.UNUSED_GENERAL_SETTINGS.get(name, ONLY_THE_PROXY)
        problems.warn(("general_settings", name), f"not used here: {name} in general_settings; {why}")


def _report_keys(
    keys: Any, unused: Mapping[str, str], path: Path, problems: Problems, *, section: str = "litellm_params"
) -> None:
    for name, why in unused.items():
        if isinstance(keys, dict) and keys.get(name) not in (None, [], {}, "", False):
            problems.warn((*path, section, name), f"not used here: {name} in {section}; {why}")


def _limits(settings: Any) -> Mapping[str, str]:
    """A deployment's limits are counted by some strategies, and by one check; else they only weigh deployments."""
    if isinstance(settings, dict):
        checks = settings.get("optional_pre_call_checks")
        if settings.get("routing_strategy") in ENFORCING_STRATEGIES or (
            isinstance(checks, list) and ENFORCING_CHECK in checks
        ):
            return {}
    why = (
        f"it is no limit unless router_settings has optional_pre_call_checks: [{ENFORCING_CHECK}], and only weighs "
        "deployments of one name against each other; a model group has an rpm and a tpm of its own"
    )
    return dict.fromkeys(("rpm", "tpm"), why)
