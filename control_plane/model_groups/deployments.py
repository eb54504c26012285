"""The items of `model_list` as deployments: with a stable id, a known price, and credentials filled in."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from control_plane.gateway.deployments import Deployment
from control_plane.gateway.pricing.price_list import is_listed, provider_of
from control_plane.gateway.pricing.price_names import is_price
from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.addresses import report_address
from control_plane.model_groups.prices import move_prices, report_odd_prices, report_price
from control_plane.model_groups.problems import Path, Problems, did_you_mean, nearest
from control_plane.model_groups.schema import ModelListItem

NEARLY = 0.84
"""Similarity to a well-known key from which an unknown key of an open section is a typo: api_bse, temprature,
max_token. Lower, and `top_n` or a provider's own key would be rejected.
"""


def make_deployments(
    values: Mapping[str, Any], environ: Mapping[str, str] | None, problems: Problems
) -> list[Deployment]:
    """Every valid deployment; the faults of others, or of LiteLLM with them, are reported.

    `environ`: the variables that providers' libraries will read; None: unknown.
    """
    credentials = _credentials(values)
    taken: dict[str, str] = {}
    made = []
    for index, item, place in _items(values):
        path: Path = ("model_list", index)
        name = item.model_name
        params = item.litellm_params.model_dump(exclude_unset=True)
        info = item.model_info.model_dump(exclude_unset=True)
        _fill_in_credentials(params, credentials, (*path, "litellm_params"), problems)
        move_prices(params, info, path, problems)
        _report_model(name, params, info, path, problems)
        report_address(name, params, environ, path, problems)
        # "#" keeps a derived id apart from every model's name: LiteLLM keeps prices by deployment id in the same table
        # as its price list, so an id such as gpt-4 would change the price of every other deployment of gpt-4. And it
        # expects a provider before a "/": under meta/llama-3 it would find no price at all.
        info.setdefault("id", f"{name.replace('/', ':')}#{place}")
        _report_id(info["id"], name, taken, (*path, "model_info", "id"), problems)
        made.append(Deployment(id=info["id"], model_name=name, params=params, info=info))
    return made


def report_typos(values: Mapping[str, Any], problems: Problems) -> None:
    """Report keys of the open sections that are nearly a well-known one, in items with other mistakes too."""
    items = values.get("model_list")
    for index, item in enumerate(items if isinstance(items, list) else []):
        for section, known in (("litellm_params", names.PARAMETERS), ("model_info", names.INFO_NAMES)):
            keys = item.get(section) if isinstance(item, dict) else None
            if isinstance(keys, dict):
                _report_typos(keys, known, ("model_list", index, section), problems)


def model_names(values: Mapping[str, Any]) -> list[str]:
    """Every `model_name` of the list, of items with other mistakes too."""
    items = values.get("model_list")
    found = [item.get("model_name") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [name for name in found if isinstance(name, str)]


def _items(values: Mapping[str, Any]) -> list[tuple[int, ModelListItem, int]]:
    """Position, item, and its place among the items of the same name, of every item without a mistake in its shape."""
    among: Counter[str] = Counter()
    found = []
    raw = values.get("model_list")
    for index, value in enumerate(raw if isinstance(raw, list) else []):
        name = value.get("model_name") if isinstance(value, dict) else None
        among[str(name)] += 1
        try:
            found.append((index, ModelListItem.model_validate(value), among[str(name)]))
        except ValidationError:
            continue
    return found


def _credentials(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    listed = values.get("credential_list")
    return {
        str(item["credential_name"]): item["credential_values"]
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict) and isinstance(item.get("credential_values"), dict) and "credential_name" in item
    }


def _fill_in_credentials(
    params: dict[str, Any], credentials: Mapping[str, Mapping[str, Any]], path: Path, problems: Problems
) -> None:
    """Put the values of the named credential where the deployment does not set its own, as LiteLLM's proxy does."""
    name = params.pop("litellm_credential_name", None)
    if name is None:
        return
    if name not in credentials:
        hint = did_you_mean(name, credentials)
        problems.add((*path, "litellm_credential_name"), f"credential {name!r} is not in credential_list{hint}")
    for key, value in credentials.get(name, {}).items():
        params.setdefault(key, value)


def _report_typos(keys: Mapping[str, Any], known: frozenset[str], path: Path, problems: Problems) -> None:
    for key in keys.keys() - known:
        meant = nearest(key, known, cutoff=NEARLY)
        if meant is not None and not is_price(key):
            problems.add((*path, key), f"unknown key {key!r} in {path[-1]}; did you mean {meant!r}?")


def _report_id(id_: str, name: str, taken: dict[str, str], path: Path, problems: Problems) -> None:
    if id_ in taken:
        problems.add(path, f"the deployment id {id_!r} is taken by a deployment {taken[id_]!r} above; ids are unique")
    elif "/" in id_:
        problems.add(
            path,
            f"the deployment id {id_!r} holds a '/': LiteLLM would take what is before it for a provider and lose the "
            f"price; choose another id, such as {id_.replace('/', ':')!r}",
        )
    elif is_listed(id_):
        problems.add(
            path,
            f"the deployment id {id_!r} is a model of LiteLLM's price list, whose price it would change for every other "
            f"deployment; choose another id, such as {f'{id_}-1'!r}",
        )
    taken.setdefault(id_, name)


def _report_model(
    name: str, params: Mapping[str, Any], info: Mapping[str, Any], path: Path, problems: Problems
) -> None:
    """Report a model that LiteLLM could not call, or would call for nothing."""
    model = str(params["model"])
    place = (*path, "litellm_params", "model")
    if "*" in name or "*" in model:
        problems.add(place, f"deployment {name!r} stands for many models (*); write one item for each, with its price")
        return
    if not params.get("custom_llm_provider"):
        provider = provider_of(model)
        if provider is None:
            problems.add(
                place, f"model {model!r} of deployment {name!r} has no provider in front, as in 'openai/{model}'"
            )
            return
        if provider not in names.PROVIDERS and (meant := nearest(provider, names.PROVIDERS, cutoff=NEARLY - 0.04)):
            problems.add(place, f"unknown provider {provider!r} of deployment {name!r}; did you mean {meant!r}?")
            return
    report_price(name, params, info, place, problems)
    report_odd_prices(params, info, path, problems)
