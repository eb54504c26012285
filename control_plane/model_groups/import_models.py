"""Converts the deployments of a LiteLLM proxy's `model_list`: without wildcards, with a price, without rejected
settings.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from control_plane.gateway.pricing.price_list import has_price, is_listed, list_chat_models, nearest_listed, provider_of
from control_plane.gateway.pricing.price_names import is_price
from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.problems import Path

OWN = (
    "ollama",
    "ollama_chat",
    "hosted_vllm",
    "vllm",
    "lm_studio",
    "llamafile",
    "openai_like",
    "custom_openai",
    "xinference",
)
"""Providers that run on the customer's own hosts, whose tokens cost nothing."""

RESTRICTING = ("access_groups", "team_id")
"""Keys of `model_info` by which LiteLLM's proxy keeps a model for some."""

MOST_EXPANDED = 60
"""Models that one wildcard becomes."""


@dataclass(frozen=True, slots=True)
class Models:
    """The deployments, and the names that LiteLLM keeps for some: no group with them is for every team."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    """Of each deployment, the item of the old file that it came from."""
    restricted: set[str] = field(default_factory=set)


class Reporting(Protocol):
    """Collects the entries of the report."""

    def add(self, action: Any, path: Path, why: str) -> None:
        """Write down one place."""


def import_models(items: Any, report: Reporting) -> Models:
    """Every deployment that can be called. Items that are none are dropped."""
    models = Models()
    for index, item in enumerate(items if isinstance(items, list) else []):
        path: Path = ("model_list", index)
        params = item.get("litellm_params") if isinstance(item, Mapping) else None
        if not isinstance(params, Mapping) or not isinstance(params.get("model"), str):
            report.add("dropped", path, "it names no model")
            continue
        name = str(item.get("model_name") or params["model"])
        for key in item:
            if key not in ("model_name", "litellm_params", "model_info"):
                report.add("dropped", (*path, str(key)), "no key of a deployment")
        info = item.get("model_info")
        one = {
            "model_name": name,
            "litellm_params": _without_refused(params, (*path, "litellm_params"), report),
            "model_info": _info(info if isinstance(info, Mapping) else {}, path, report),
        }
        is_wildcard = "*" in name or "*" in params["model"]
        made = _expanded(one, path, report) if is_wildcard else _priced(one, path, report)
        models.sources.extend(index for _ in made)
        models.deployments.extend({key: value for key, value in each.items() if value} for each in made)
        if isinstance(info, Mapping) and any(info.get(key) for key in RESTRICTING):
            models.restricted.update(str(each["model_name"]) for each in made)
    return models


def _without_refused(params: Mapping[str, Any], path: Path, report: Reporting) -> dict[str, Any]:
    whys = {**names.REFUSED_PARAMETERS, **names.UNUSED_PARAMETERS}
    for key in params.keys() & whys.keys():
        report.add("dropped", (*path, key), whys[key])
    return {str(key): copy.deepcopy(value) for key, value in params.items() if key not in whys}


def _info(info: Mapping[str, Any], path: Path, report: Reporting) -> dict[str, Any]:
    taken = {}
    for key, value in info.items():
        place = (*path, "model_info", str(key))
        if key in RESTRICTING:
            report.add(
                "dropped",
                place,
                "the teams of a model group may use its models: add them, or no team may use the group",
            )
        elif key in names.UNUSED_INFO:
            report.add("dropped", place, names.UNUSED_INFO[key])
        elif key == "id" and (not isinstance(value, str) or "/" in value or is_listed(value)):
            report.add(
                "changed", place, "an id must be no model's name and hold no '/'; one is made from the model_name"
            )
        else:
            taken[str(key)] = copy.deepcopy(value)
    return taken


def _expanded(one: dict[str, Any], path: Path, report: Reporting) -> list[dict[str, Any]]:
    """`openai/*` as a deployment for each chat model of the price list; `*` alone would be every model there is."""
    provider, _, rest = str(one["litellm_params"]["model"]).partition("/")
    listed = list_chat_models(provider) if rest == "*" else []
    if not listed:
        why = "it stands for any model, also those without a price: add a deployment for each that you use"
        report.add("dropped", path, why)
        return []
    shown = listed[:MOST_EXPANDED]
    made = []
    for model in shown:
        name = str(one["model_name"]).replace("*", model.partition("/")[2]) if one["model_name"] != "*" else model
        each = copy.deepcopy(one)
        each["model_name"] = name
        each["litellm_params"]["model"] = model
        each["model_info"].pop("id", None)
        made.append(each)
    why = f"{one['model_name']!r} became {len(made)} deployments, of the {len(listed)} chat models that LiteLLM prices at "
    report.add("changed", path, f"{why}{provider}: take out those that you do not use")
    return made


def _priced(one: dict[str, Any], path: Path, report: Reporting) -> list[dict[str, Any]]:
    """The deployment, with a price of 0 if it is the customer's own; nothing if its price is unknown."""
    params, info, name = one["litellm_params"], one["model_info"], one["model_name"]
    model = str(params["model"])
    provider = params.get("custom_llm_provider")
    full = f"{provider}/{model.removeprefix(f'{provider}/')}" if provider else model
    base = info.get("base_model") or params.get("base_model")
    is_priced = any(is_price(key) for key in (*params, *info)) or has_price(full, {**info, "base_model": base})
    if is_priced:
        report.add("taken", path, f"deployment {name!r}")
        return [one]
    provider = provider_of(full)
    if provider in OWN or (provider == "openai" and (params.get("api_base") or params.get("base_url"))):
        info.update(input_cost_per_token=0, output_cost_per_token=0)
        report.add("changed", path, f"deployment {name!r} has no price and is at your own address: declared free")
        return [one]
    near = nearest_listed(full)
    why = (
        f"deployment {name!r} has no price, and LiteLLM would bill it 0: give its price, or a base_model in model_info"
    )
    report.add("dropped", path, f"{why}{f', such as {near!r}' if near else ''}, and import it again")
    return []
