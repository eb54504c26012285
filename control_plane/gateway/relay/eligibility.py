"""Decides the lane of a deployment: LiteLLM's own, for every provider, or the relay, for those of OpenAI's wire.

The relay leaves the Router in charge and does the HTTP of one attempt itself, without LiteLLM's objects around it. A
deployment takes it only when all its YAML fields mean the same there: a field that is not on these lists selects
LiteLLM's lane. Pure; no litellm import here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from control_plane.chat import CHAT_PARAMETERS
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.pricing.price_names import LITELLM_LANE


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """`choice` auto: the relay where it can be taken; litellm: never.

    `check_share`: how many of the relayed calls LiteLLM's own logging prices, too, from 0 to 1.
    """

    choice: Literal["auto", "litellm"] = "auto"
    check_share: float = 0.0


PROVIDERS = frozenset(
    {
        "openai",
        "hosted_vllm",
        "openrouter",
        "deepseek",
        "together_ai",
        "deepinfra",
        "cerebras",
        "sambanova",
        "nvidia_nim",
        "nebius",
        "lm_studio",
        "llamafile",
    }
)
"""Providers whose requests and responses are OpenAI's, by LiteLLM's own code for them."""

PARAMETERS = CHAT_PARAMETERS | {
    "model",
    "api_base",
    "base_url",
    "api_key",
    "custom_llm_provider",
    "timeout",
    "stream_timeout",
    "num_retries",
    "max_retries",
    "weight",
    "order",
    "cooldown_time",
    "drop_params",
    "additional_drop_params",
    "extra_headers",
}
"""Allowed keys of `litellm_params`. Limits of a deployment (rpm, tpm, parallel requests) are counted by LiteLLM's lane.
"""

ROUTER_SETTINGS = frozenset(
    {
        "allowed_fails",
        "allowed_fails_policy",
        "cooldown_time",
        "disable_cooldowns",
        "enable_weighted_failover",
        "max_fallbacks",
        "model_group_retry_policy",
        "num_retries",
        "redis_db",
        "redis_host",
        "redis_password",
        "redis_port",
        "redis_url",
        "retry_after",
        "retry_policy",
        "stream_timeout",
        "timeout",
    }
)
"""Settings of the Router that mean the same in both lanes; others need LiteLLM to process every request."""

LITELLM_SETTINGS = frozenset({"drop_params", "num_retries", "request_timeout", "allowed_fails", "max_fallbacks"})


def why_not_relayed(
    deployment: Deployment,
    provider: str,
    *,
    mode: str | None,
    router_settings: Mapping[str, Any],
    litellm_settings: Mapping[str, Any],
    policy: LanePolicy,
) -> str | None:
    """Why a deployment takes LiteLLM's lane; None: it is relayed. `mode`: the model's mode in LiteLLM's list."""
    strange = deployment.params.keys() - PARAMETERS
    priced = {name for name in deployment.info.keys() & LITELLM_LANE if deployment.info[name]}
    needs = _set(router_settings) - ROUTER_SETTINGS - {"routing_strategy"}
    switches = _set(litellm_settings) - LITELLM_SETTINGS
    reasons = {
        "the relay is switched off": policy.choice == "litellm" or deployment.info.get("lane") == "litellm",
        f"{provider} is not on the list of OpenAI's wire": provider not in PROVIDERS,
        f"its prices: {', '.join(sorted(priced))}": bool(priced),
        f"its mode is {mode}": mode not in (None, "chat"),
        f"litellm_params: {', '.join(sorted(strange))}": bool(strange),
        f"router_settings: {', '.join(sorted(needs))}": bool(needs),
        "router_settings: routing_strategy": router_settings.get("routing_strategy") not in (None, "simple-shuffle"),
        f"litellm_settings: {', '.join(sorted(switches))}": bool(switches),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _set(settings: Mapping[str, Any]) -> set[str]:
    """Names of the settings that do something; ssl_verify is on by default."""
    return {name for name, value in settings.items() if value and not (name == "ssl_verify" and value is True)}
