"""Which of LiteLLM's settings the gateway supports; the rest are refused, never ignored. No litellm import here.

`litellm_config.yaml` keeps LiteLLM's meaning. What would send prompts elsewhere, mix the answers of different teams or
need the LiteLLM proxy is named with its reason.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from control_plane.errors import InvalidConfig

LITELLM_SETTINGS: Mapping[str, Any] = {
    "drop_params": True,  # a parameter the model does not take is left out instead of refused
    "modify_params": False,
    "num_retries": None,
    "request_timeout": 600.0,  # LiteLLM's own 6000 s would hold a customer's call for 100 minutes
    "allowed_fails": 3,
    "max_fallbacks": None,
    "fallbacks": None,
    "default_fallbacks": None,
    "context_window_fallbacks": None,
    "content_policy_fallbacks": None,
    "turn_off_message_logging": False,  # for callbacks of other kinds than ours: litellm_setup.py
    "ssl_verify": True,
    "ssl_certificate": None,
    "force_ipv4": False,
}
"""Supported names of `litellm_settings`, with what holds when the file says nothing."""

ROUTER_SETTINGS = frozenset(
    {
        "allowed_fails",
        "allowed_fails_policy",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "cooldown_time",
        "default_fallbacks",
        "default_max_parallel_requests",
        "disable_cooldowns",
        "enable_pre_call_checks",
        "enable_weighted_failover",
        "fallbacks",
        "max_fallbacks",
        "model_group_retry_policy",
        "num_retries",
        "optional_pre_call_checks",
        "redis_db",
        "redis_host",
        "redis_password",
        "redis_port",
        "redis_url",
        "retry_after",
        "retry_policy",
        "routing_strategy",
        "routing_strategy_args",
        "stream_timeout",
        "timeout",
    }
)

_CACHE = "teams would get each other's answers; `litellm_settings.cache` keeps them apart"
_CALLBACK = "calls are reported to the spend log only; prompts go nowhere else"
_VERBOSE = "it prints prompts and keys"
_GROUPS = "model groups are the only names a client may ask for"

UNSUPPORTED: Mapping[str, str] = {
    "cache_responses": _CACHE,
    "cache_kwargs": _CACHE,
    "caching_groups": _CACHE,
    "callbacks": _CALLBACK,
    "success_callback": _CALLBACK,
    "failure_callback": _CALLBACK,
    "service_callbacks": _CALLBACK,
    "audit_log_callbacks": _CALLBACK,
    "alerting_config": _CALLBACK,
    "set_verbose": _VERBOSE,
    "debug_level": _VERBOSE,
    "model_group_alias": _GROUPS,
    "model_alias_map": _GROUPS,
    "default_litellm_params": "parameters belong to a deployment's litellm_params",
    "guardrails": "they need the LiteLLM proxy",
    "ignore_invalid_deployments": "an invalid deployment always stops the start",
}


def setting_problems(router_settings: Iterable[str], litellm_settings: Iterable[str]) -> list[str]:
    """One sentence for each name that is not supported; empty when all are."""
    return [
        *(_problem("router_settings", name, ROUTER_SETTINGS) for name in sorted({*router_settings} - ROUTER_SETTINGS)),
        *(
            _problem("litellm_settings", name, LITELLM_SETTINGS)
            for name in sorted({*litellm_settings} - LITELLM_SETTINGS.keys())
        ),
    ]


def check_settings(router_settings: Mapping[str, Any], litellm_settings: Mapping[str, Any]) -> None:
    """Raises: InvalidConfig naming every setting that is not supported or makes no sense."""
    problems = setting_problems(router_settings, litellm_settings)
    if router_settings.get("redis_host") and not router_settings.get("redis_port"):
        problems.append("router_settings: redis_host needs redis_port, or LiteLLM uses no Redis without saying so.")
    if problems:
        raise InvalidConfig(problems)


def _problem(section: str, name: str, known: Iterable[str]) -> str:
    if name in UNSUPPORTED:
        return f"{section}: {name} is not supported: {UNSUPPORTED[name]}."
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{section}: {name} is not a supported setting.{hint}"
