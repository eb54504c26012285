"""Checks prices in the YAML: known names, numbers, billable for the model's purpose, and of a likely size."""

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.gateway.pricing.price_list import (
    INPUT_ONLY,
    Listed,
    has_price,
    listed_as,
    nearest_listed,
    provider_of,
)
from control_plane.gateway.pricing.price_names import (
    CHAT_MODES,
    IGNORED,
    INPUT,
    OFF_PEAK,
    OUTPUT,
    SEARCH,
    TIERED,
    is_per_token,
    is_price,
    known_names,
    use_of,
)
from control_plane.model_groups.problems import Path, Problems, did_you_mean

CONFIRMED = "confirmed_price"
"""The key of `model_info` that confirms an unlikely price."""
FAR = 100
"""A price so many times the listed one, or so small a part of it, is probably of another unit: a thousand tokens, a million."""
DEAR_TOKEN_USD = 0.001
"""A price of one token, of a model that is not listed, from which it is probably of another unit: 1000 dollars a million."""
TABLES = {OFF_PEAK: "a mapping", SEARCH: "a mapping", TIERED: "a list of mappings"}


def move_prices(params: dict[str, Any], info: dict[str, Any], path: Path, problems: Problems) -> None:
    """Prices into `model_info`, as numbers. In `litellm_params` they make LiteLLM register the model on every call."""
    origin = {key: "model_info" for key in info if is_price(key)} | {
        key: "litellm_params" for key in params if is_price(key)
    }
    for key, section in origin.items():
        price = params.pop(key) if section == "litellm_params" else info[key]
        place = (*path, section, key)
        if use_of(key) is None:
            hint = did_you_mean(key, known_names())
            problems.add(place, f"unknown price {key!r} in {section}: LiteLLM has no price of this name{hint}")
        elif key in TABLES and price is not None:
            price = _table(key, price, place, problems)
        elif price is not None:
            price = _number(key, price, place, problems)
        info[key] = price


def report_price(
    name: str, params: Mapping[str, Any], info: Mapping[str, Any], place: Path, problems: Problems
) -> None:
    """Report a deployment that LiteLLM would bill 0, and prices it would be billed by in part or not at all."""
    full_name, base, listed = _model(params, info)
    prices = [key for key in info if is_price(key) and info[key] is not None]
    mode = info.get("mode") or (listed.mode if listed else None)
    for key in prices:
        if fault := _fault(key, mode):
            problems.add((*place[:-2], "model_info", key), f"{key!r} of deployment {name!r} {fault}")
    if not prices and listed and not listed.is_priced:
        problems.add(
            place,
            f"{base or params['model']!r} of deployment {name!r} is not priced by its tokens in LiteLLM's list, and chats "
            f"are billed by nothing else: give {INPUT} and {OUTPUT} in model_info (0 and 0 declare it free)",
        )
        return
    if has_price(full_name, {**info, "base_model": base}):
        return
    if prices:
        if all(_fault(key, mode) is None for key in prices):
            problems.add(place, f"deployment {name!r} {_incomplete(mode, prices)}")
        return
    near = nearest_listed(full_name) if base is None else nearest_listed(f"{provider_of(full_name)}/{base}")
    subject = f"base_model {base!r}" if base else f"model {params['model']!r}"
    problems.add(
        place,
        f"{subject} of deployment {name!r} has no price, so LiteLLM would bill it 0: give input_cost_per_token and "
        "output_cost_per_token in model_info (0 and 0 declare it free), or name a model of the same provider that "
        f"LiteLLM has a price for as base_model{f'; did you mean {near!r}?' if near else ''}",
    )


def report_odd_prices(params: Mapping[str, Any], info: Mapping[str, Any], path: Path, problems: Problems) -> None:
    """Report prices that are probably of another unit, unless they are confirmed: 0.15 is that of a million tokens."""
    if info.get(CONFIRMED):
        return
    _, _, listed = _model(params, info)
    known = listed.prices if listed else {}
    for key, price, usual in _compared(info, known):
        fault = _oddity(key, price, usual)
        if fault:
            problems.add(
                (*path, "model_info", key),
                f"{key!r} of {price:g} US dollars {fault}; if it is meant, write {CONFIRMED}: true in model_info",
            )


def _compared(info: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, float, float | None]]:
    """Name, price and listed price of each price of a deployment, those in its tables included."""
    tables = info.get(TIERED)
    inner = [*(tables if isinstance(tables, list) else ()), info.get(OFF_PEAK)]
    listed = _highest_listed(known)
    for table in (info, *inner):
        for key, price in table.items() if isinstance(table, Mapping) else ():
            if is_price(key) and _is_number(price):
                yield key, price, listed.get(key)


def _highest_listed(known: Mapping[str, Any]) -> Mapping[str, float]:
    """The listed prices by name, of the dearest tier where there are tiers."""
    tiers = known.get(TIERED)
    found: dict[str, float] = {}
    for table in (known, *(tiers if isinstance(tiers, list) else ())):
        for key, price in table.items():
            if is_price(key) and _is_number(price):
                found[key] = max(price, found.get(key, 0.0))
    return found


def _oddity(key: str, price: float, usual: float | None) -> str | None:
    if not price:
        return None
    if usual:
        times = price / usual
        if times >= FAR:
            return f"is {times:,.0f} times the price in LiteLLM's list ({usual:g}){_unit(key)}"
        if times * FAR <= 1:
            return f"is a {1 / times:,.0f}th of the price in LiteLLM's list ({usual:g}){_unit(key)}"
        return None
    if is_per_token(key) and price >= DEAR_TOKEN_USD:
        return f"is {price * 10**6:,.0f} US dollars for a million{_unit(key)}"
    return None


def _unit(key: str) -> str:
    return "; it is the price of one token, not of a thousand or a million" if is_per_token(key) else ""


def _fault(key: str, mode: str | None) -> str | None:
    """Why a price would not be billed by, for what the model is for."""
    use = use_of(key)
    if use == "ignored":
        return f"is in LiteLLM's price list, but no cost is calculated by it: {IGNORED.get(key, 'leave it out')}"
    if use == "other" and mode in CHAT_MODES:
        return (
            f"does not price a chat, which is billed by its tokens: give {INPUT} and {OUTPUT}, or the model's mode "
            "(embedding, rerank, ocr) if it is not for chats"
        )
    return None


def _incomplete(mode: str | None, prices: list[str]) -> str:
    if TIERED in prices:
        return f"has a tier without a price in both directions: give {INPUT} and {OUTPUT} in each tier of {TIERED}"
    if {INPUT, OUTPUT} & set(prices) or mode in CHAT_MODES:
        both = f"give both {INPUT} and {OUTPUT}"
        if not {INPUT, OUTPUT} & set(prices):
            return f"has prices but none for plain tokens, and LiteLLM would bill those 0: {both}"
        return f"has a price in one direction only, and LiteLLM would bill the other one 0: {both}"
    return f"has no price that its mode {mode!r} is billed by" + (f": give {INPUT}" if mode in INPUT_ONLY else "")


def _model(params: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[str, str | None, Listed | None]:
    """LiteLLM's name of a deployment's model, its base model, and its list entry."""
    provider = params.get("custom_llm_provider")
    model = str(params["model"])
    full_name = f"{provider}/{model.removeprefix(f'{provider}/')}" if provider else model
    base = info.get("base_model") or params.get("base_model")
    return full_name, base, listed_as(full_name, base_model=base)


def _number(key: str, price: Any, place: Path, problems: Problems) -> Any:
    if isinstance(price, str):  # YAML reads 3e-6 as text: it wants 3.0e-6
        try:
            price = float(price)
        except ValueError:
            price = None
    if not _is_number(price):
        problems.add(place, f"{key!r} must be a number, in US dollars")
    elif not 0 <= price < float("inf"):
        problems.add(place, f"{key!r} must be 0 or more")
    return price


def _is_number(price: Any) -> bool:
    return isinstance(price, int | float) and not isinstance(price, bool)


def _table(key: str, value: Any, place: Path, problems: Problems) -> Any:
    """A price that depends on something: a list of tiers, each with the range it is for, or a mapping."""
    tables = value if isinstance(value, list) else [value]
    if (
        isinstance(value, list) != (key == TIERED)
        or not tables
        or not all(isinstance(each, Mapping) for each in tables)
    ):
        problems.add(place, f"{key!r} must be {TABLES[key]}")
        return value
    checked = []
    for table in tables:
        if key == TIERED and not _is_range(table.get("range")):
            problems.add(place, f"every item of {key!r} needs its range, as in [0, 128000]")
        names = [name for name in table if is_price(name) or key == SEARCH]
        for name in names:
            if key != SEARCH and use_of(name) != "chat":
                problems.add(place, f"unknown price {name!r} in {key!r}{did_you_mean(name, known_names())}")
        checked.append({**table, **{name: _number(name, table[name], place, problems) for name in names}})
    return checked if isinstance(value, list) else checked[0]


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]  # noqa: PLR2004 - from, to
