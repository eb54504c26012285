"""Builds a gateway: the first of a process, or the successor of one with calls in flight.

LiteLLM keeps its price list and its switches in module globals, for all Routers of a process. So that a call in flight
keeps its price, LiteLLM identifies a deployment by its id and a fingerprint of everything that decides its price.
"""

import asyncio
import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from control_plane.chat import ServedBy, SpendReport
from control_plane.errors import InvalidConfig
from control_plane.gateway import litellm_setup
from control_plane.gateway.attempts import Relaying
from control_plane.gateway.bounds import AnswerBounds
from control_plane.gateway.cooldowns import carry_over, share_cooldowns
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.dialects import Dialect, dialect_of
from control_plane.gateway.estimates import dearest
from control_plane.gateway.pricing import prices
from control_plane.gateway.relay.eligibility import LanePolicy
from control_plane.gateway.relay.relay import Relay
from control_plane.gateway.relay.targets import targets_of
from control_plane.gateway.reports import spend_reporter
from control_plane.gateway.router import Gateway
from control_plane.gateway.settings import check_settings
from control_plane.gateway.streams import PricedDeployment


async def open_gateway(
    config: RouterConfig,
    report: Callable[[SpendReport], None],
    *,
    lanes: LanePolicy | None = None,
    bounds: AnswerBounds | None = None,
    redis_url: str | None = None,
    before: Gateway | None = None,
) -> Gateway:
    """A gateway over the deployments of `config`; `report` gets one SpendReport per attempt, in the event loop.

    `lanes`: whether deployments that can be relayed are. `bounds`: how long calls may take, how large answers may be.
    Through Redis it shares cooldowns with other processes. It starts with the cooldowns of `before`, which is unchanged
    when the new one cannot be built. Takes seconds in a new process, in a thread. Raises: InvalidConfig for settings
    that are not supported and for deployments LiteLLM cannot use.
    """
    check_settings(config.router_settings, config.litellm_settings)
    try:
        gateway = await asyncio.to_thread(
            _build, config, report, lanes or LanePolicy(), bounds or AnswerBounds(), redis_url
        )
    except BaseException:
        if before is not None:
            litellm_setup.load(_module_settings(before.config))
        raise
    if before is not None:
        carry_over(before.router, gateway.router)
    return gateway


def _build(
    config: RouterConfig,
    report: Callable[[SpendReport], None],
    lanes: LanePolicy,
    bounds: AnswerBounds,
    redis_url: str | None,
) -> Gateway:
    litellm = litellm_setup.load(_module_settings(config))
    known = {deployment.id: replace(deployment, id=_internal_id(deployment)) for deployment in config.deployments}
    try:
        router = litellm.Router(
            model_list=[_model_list_item(deployment) for deployment in known.values()],
            **copy.deepcopy(dict(config.router_settings)),
            ignore_invalid_deployments=False,
        )
        _require_all(config, router)
        # behind the Router, which registers the deployments' own prices in LiteLLM: they are tried here
        servings = {known[each.id].id: _serving(each, known[each.id]) for each in config.deployments}
        if redis_url is not None:
            share_cooldowns(router, redis_url)
        targets = targets_of(replace(config, deployments=tuple(known.values())), servings, router, lanes)
    except InvalidConfig:
        raise
    except Exception as exc:  # noqa: BLE001  # LiteLLM raises ValueError, BadRequestError, pydantic's …
        raise InvalidConfig([f"LiteLLM refuses the configuration: {_without_secrets(exc, config)}"]) from None
    primaries: dict[str, PricedDeployment] = {}
    for deployment in known.values():
        primaries.setdefault(deployment.model_name, servings[deployment.id])
    names = {deployment.model_name for deployment in config.deployments}
    rates = {
        name: dearest(servings[each.id].tag.rate for each in known.values() if each.model_name == name)
        for name in names
    }
    mark = uuid4().hex
    ids = {deployment.id: id_ for id_, deployment in known.items()}
    dialects = {each.id: _dialect(each, servings[each.id].tag.provider) for each in known.values()}
    reporter = spend_reporter(mark, report, ids, dialects)
    litellm.logging_callback_manager.add_litellm_callback(reporter)
    relaying = Relaying(Relay(), targets, router, report, check_share=lanes.check_share)
    return Gateway(config, router, servings, primaries, rates, relaying, mark=mark, reporter=reporter, bounds=bounds)


def _require_all(config: RouterConfig, router: Any) -> None:
    """LiteLLM leaves out deployments for other environments (`supported_environments`).

    Raises: InvalidConfig for names without a remaining deployment: each of their calls would fail.
    """
    there = {str(item["model_name"]) for item in router.model_list}
    absent = sorted({deployment.model_name for deployment in config.deployments} - there)
    if absent:
        raise InvalidConfig([f"LiteLLM leaves out every deployment of {', '.join(absent)} in this environment."])


def _internal_id(deployment: Deployment) -> str:
    """The same for the same price, in every process: cooldowns are shared by it."""
    decides = {
        "info": deployment.info,
        **{name: deployment.params.get(name) for name in ("model", "base_model", "custom_llm_provider")},
    }
    fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()
    return f"{deployment.id}@{fingerprint[:8]}"


def _module_settings(config: RouterConfig) -> dict[str, Any]:
    """`litellm_settings`, with the Router's own `timeout` where they name none: ours for LiteLLM would outvote it."""
    timeout = config.router_settings.get("timeout")
    return {**({} if timeout is None else {"request_timeout": timeout}), **config.litellm_settings}


def _serving(deployment: Deployment, known: Deployment) -> PricedDeployment:
    """`known`: in LiteLLM's form."""
    tag = prices.price_tag(known)
    served = ServedBy(deployment.id, deployment.provider_model, tag.provider, deployment.model_name)
    return PricedDeployment(served, tag)


def _dialect(deployment: Deployment, provider: str) -> Dialect:
    """The dialect of a deployment. Claude's newer models do not need thinking at a turn's beginning."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    model = str(deployment.params["model"])
    address = deployment.params.get("api_base") or deployment.params.get("base_url")
    dialect = dialect_of(provider, model, host=urlsplit(str(address or "")).hostname)
    name = model.rpartition("/")[2]
    if dialect.needs_thinking_first and litellm.AnthropicConfig.is_adaptive_thinking_model(name, provider):
        return replace(dialect, needs_thinking_first=False)
    return dialect


def _model_list_item(deployment: Deployment) -> dict[str, Any]:
    """A copy: LiteLLM writes into what it is given."""
    return {
        "model_name": deployment.model_name,
        "litellm_params": copy.deepcopy(dict(deployment.params)),
        "model_info": {**copy.deepcopy(dict(deployment.info)), "id": deployment.id},
    }


def _without_secrets(exc: Exception, config: RouterConfig) -> str:
    """The operator needs the text; it may repeat the values it complains about."""
    text = f"{type(exc).__name__}: {exc}"
    for deployment in config.deployments:
        for name, value in deployment.params.items():
            if isinstance(value, str) and any(word in name for word in ("key", "secret", "token", "password")):
                text = text.replace(value, "…")
    return text
