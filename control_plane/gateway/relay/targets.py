"""Targets of relayed requests, computed once from the YAML and the environment, as LiteLLM would each time."""

import copy
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from control_plane.chat import CHAT_PARAMETERS, ChatRequest
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.dialects import Dialect, dialect_of
from control_plane.gateway.relay.eligibility import LanePolicy, why_not_relayed
from control_plane.gateway.streams import PricedDeployment

log = logging.getLogger(__name__)

BASES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE", "https://api.openai.com/v1"),
    "openrouter": ("OPENROUTER_API_BASE", "https://openrouter.ai/api/v1"),
}
"""LiteLLM's sources of an address outside `get_llm_provider`: variables, then the provider's own."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
}

MAX_REMEMBERED_CHARS = 200
"""Of the texts among parameters that are remembered."""
MAPPINGS_KEPT = 1000

STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

_PLAIN = (int, float, str, bool, type(None))

SENT = CHAT_PARAMETERS | {"drop_params", "additional_drop_params"}
"""Keys of `litellm_params` that affect the request's body."""


@dataclass(frozen=True, slots=True)
class Target:
    """A relayed deployment.

    `known_as` is its id in the Router and LiteLLM's price list; `config` is LiteLLM's code for the provider;
    `addressed` its arguments for the address; `defaults` the parameters of the YAML; `dialect` the accepted forms of a
    conversation. The times are those until an answer begins and for each pause in it, buffered and streamed.
    """

    known_as: str
    model_name: str
    serving: PricedDeployment
    provider: str
    model: str
    config: Any
    url: URL
    proxy: URL | None
    headers: Mapping[str, str]
    addressed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    info: Mapping[str, Any]
    timeout_s: float
    stream_timeout_s: float
    may_be_bridged: bool
    dialect: Dialect
    mappings: dict[Any, Mapping[str, Any]] = field(default_factory=dict)

    def mapped(self, parameters: Mapping[str, Any], *, is_stream: bool) -> dict[str, Any]:
        """The parameters in the provider's form: renamed, or left out where the model does not support them.

        An app sends the same few parameters again and again, so their mapping is cached.
        """
        is_plain = all(isinstance(value, _PLAIN) for value in parameters.values())
        is_short = sum(len(value) for value in parameters.values() if isinstance(value, str)) <= MAX_REMEMBERED_CHARS
        key = (is_stream, *sorted(parameters.items())) if is_plain and is_short else None
        found = None if key is None else self.mappings.get(key)
        if found is None:
            found = self._map({**self.defaults, **parameters, **(STREAMED if is_stream else {})})
            if key is not None:
                if len(self.mappings) >= MAPPINGS_KEPT:
                    self.mappings.clear()
                self.mappings[key] = found
        return copy.deepcopy(dict(found))

    def _map(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        from litellm.utils import get_optional_params  # noqa: PLC0415  # see litellm_setup.py

        mapped: Mapping[str, Any] = get_optional_params(
            model=self.model, custom_llm_provider=self.provider, messages=[], **parameters
        )
        return mapped

    def takes(self, request: ChatRequest) -> bool:
        """Whether the relay can make this request: LiteLLM sends some to another API of the provider."""
        parameters = request.parameters
        return not (self.may_be_bridged and (parameters.get("tools") or parameters.get("reasoning_effort")))


def targets_of(
    config: RouterConfig, servings: Mapping[str, PricedDeployment], router: Any, policy: LanePolicy
) -> dict[str, Target]:
    """The targets of the relayed deployments, by the ids in `config`, which are LiteLLM's. `router`: has the timeout of
    each.
    """
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    targets = {}
    for deployment in config.deployments:
        tag = servings[deployment.id].tag
        reason = why_not_relayed(
            deployment,
            tag.provider,
            mode=tag.mode,
            router_settings=config.router_settings,
            litellm_settings=config.litellm_settings,
            policy=policy,
        )
        times = [
            float(router._get_timeout({"stream": is_stream}, deployment.params) or litellm.request_timeout)  # noqa: SLF001
            for is_stream in (False, True)
        ]
        target = None if reason else _target(deployment, servings[deployment.id], *times)
        if target is None:
            named = servings[deployment.id].served.deployment_id
            log.info("not_relayed", extra={"deployment": named, "reason": reason or "nothing says where it is"})
        else:
            targets[deployment.id] = target
    return targets


def _target(
    deployment: Deployment, serving: PricedDeployment, timeout_s: float, stream_timeout_s: float
) -> Target | None:
    """The target of a deployment; None without an address."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py
    from litellm.utils import ProviderConfigManager  # noqa: PLC0415

    params = deployment.params
    model, provider, dynamic_key, found = litellm.get_llm_provider(
        model=str(params["model"]),
        custom_llm_provider=params.get("custom_llm_provider"),
        api_base=params.get("api_base") or params.get("base_url"),
        api_key=params.get("api_key"),
    )
    base = found or litellm.api_base or _first(BASES.get(provider, ()))
    if not base:
        return None
    key = dynamic_key or params.get("api_key") or litellm.api_key or _first(KEYS.get(provider, ()))
    config = ProviderConfigManager.get_provider_chat_config(model=model, provider=litellm.LlmProviders(provider))
    addressed = {"custom_llm_provider": provider, "api_base": base}
    common = {"model": model, "optional_params": {}, "litellm_params": addressed, "api_key": key, "api_base": base}
    own = {**config.get_attribution_headers(), **_named(provider), **(params.get("extra_headers") or {})}
    headers = config.validate_environment(headers=own, messages=[], **common)
    url = URL(config.get_complete_url(**common), encoded=True)
    return Target(
        known_as=deployment.id,
        model_name=deployment.model_name,
        serving=replace(serving, served=replace(serving.served, lane="relay")),
        provider=provider,
        model=model,
        config=config,
        url=url,
        proxy=_proxy(url),
        headers={str(name): str(value) for name, value in headers.items()},
        addressed=addressed,
        defaults={name: value for name, value in params.items() if name in SENT},
        info=deployment.info,
        timeout_s=timeout_s,
        stream_timeout_s=stream_timeout_s,
        may_be_bridged=provider == "openai" and litellm.OpenAIGPT5Config.is_model_gpt_5_model(model),
        dialect=dialect_of(provider, model, host=url.host),
    )


def _proxy(url: URL) -> URL | None:
    """The environment's `HTTPS_PROXY` and its like for an address; read once, aiohttp would read it each time."""
    proxies = getproxies()
    found = None if url.host is None or proxy_bypass(url.host) else proxies.get(url.scheme)
    return URL(found) if found else None


def _named(provider: str) -> Mapping[str, str]:
    """LiteLLM's headers that identify the caller to OpenRouter."""
    if provider != "openrouter":
        return {}
    site, app = os.environ.get("OR_SITE_URL"), os.environ.get("OR_APP_NAME")
    return {"HTTP-Referer": site or "https://litellm.ai", "X-Title": app or "liteLLM"}


def _first(places: tuple[str, ...]) -> str | None:
    """The first variable that is set, or the last place, if that is an address."""
    for place in places:
        if "://" in place:
            return place
        if value := os.environ.get(place):
            return value
    return None
