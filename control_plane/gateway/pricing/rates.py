"""The most that a model can charge, from the fields of its price. Pure; no litellm import.

A provider reports tokens of many kinds (text, audio, pictures, reasoning, cache reads and two kinds of cache writes),
and the price of each may rise with the length of the prompt and with the service tier. The kind cannot be predicted, so
the rate of a direction is the dearest of them all.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from control_plane.chat import MILLION, Rate
from control_plane.gateway.pricing import price_names as names
from control_plane.units import NanoUsd, nano_usd

DEFAULT_MAX_OUTPUT_TOKENS = 16_384
"""The longest answer of a model without `max_output_tokens` in its `model_info`."""

UNIT_PRICES = ("input_cost_per_query", "ocr_cost_per_page")
"""The units of endpoints that are not priced by the token."""

CHARACTERS_PER_TOKEN = 8
"""Of an answer that is priced by the character; usual is 4 to 5."""
CALL_S = 600.0
"""The longest call of a model that is priced by the second: the gateway's timeout."""
FILE_S = 3600.0
"""The longest sound or film of a model that is priced by its seconds."""
SEARCHES, DEEP_SEARCHES = 10, 100
"""Searches of one call, of a model that searches the web by itself, and of a research model."""


def money(dollars: float) -> NanoUsd:
    """LiteLLM's dollars, a sum of floats, as nano-USD.

    31 microdollars may arrive as 0.000031000000000000005, which must not cost one nano-dollar more: what lies beyond
    twelve decimals is noise.
    """
    return nano_usd(round(float(dollars), 12))


def per_million(dollars: float) -> int:
    """The price of one token in dollars as nano-USD for a million."""
    return nano_usd(round(dollars * MILLION, 9))


def rate_of(
    info: Mapping[str, Any], *, limit: Any, mode: str | None = None, model: str = "", params: Mapping[str, Any] | None
) -> Rate:
    """The rate of a model. `info`: its prices in LiteLLM's words. `limit`: of its answers, in tokens. `model`: its
    provider and name. `params`: the deployment's `litellm_params`, which apply to every call.
    """
    given = params or {}
    is_chat = mode in names.CHAT_MODES
    uplift = _uplift(info, given)
    prices = list(_priced_tokens(info))
    tiers = {
        ending: Rate(
            input=per_million(_highest(_of(names.PER_INPUT_TOKEN, prices, ending)) * uplift),
            output=per_million(_highest(_of(names.PER_OUTPUT_TOKEN, prices, ending)) * uplift),
            expected_input=per_million(_highest(price for name, price in prices if name == f"{names.INPUT}_{ending}")),
        )
        for ending in dict.fromkeys(names.TIERS.values())
    }
    inputs = [*_of(names.PER_INPUT_TOKEN, prices), _float(info.get("input_cost_per_character"))]
    outputs = [
        *_of(names.PER_OUTPUT_TOKEN, prices),
        _float(info.get("output_cost_per_character")) * CHARACTERS_PER_TOKEN,
    ]
    plain = [price for name, price in prices if name == names.INPUT]
    units = [info.get(name) for name in UNIT_PRICES]
    known = [
        info.get(names.INPUT),
        info.get(names.OUTPUT),
        info.get(names.TIERED),
        info.get("input_cost_per_character"),
    ]
    asked = [given.get("max_tokens"), given.get("max_completion_tokens")]
    rate = Rate(
        input=per_million(_highest(inputs) * uplift),
        output=per_million(_highest(outputs) * uplift),
        unit=money(_highest(map(_float, units))),
        max_output_tokens=max(int(tokens) for tokens in (limit or DEFAULT_MAX_OUTPUT_TOKENS, *asked) if tokens),
        is_known=any(price is not None for price in (known if mode in names.CHAT_MODES - {None} else [*known, *units])),
        expected_input=per_million(_highest(plain)),
        call=_call(info, model, given) if is_chat else NanoUsd(0),
        file=_file(info) if is_chat else NanoUsd(0),
        answers=int(given.get("n") or 1),
        tiers={ending: tier for ending, tier in tiers.items() if tier.input or tier.output},
    )
    tier = given.get("service_tier")
    return rate if tier is None else replace(at_tier(rate, str(tier)), tiers=rate.tiers)


def tier_of(asked: str | None) -> str:
    """The kind of the requested tier: `standard`, `auto`, the ending of a tier's prices, or `unknown`."""
    word = (asked or "auto").lower()
    if word in ("default", "standard", "standard_only", "flex"):
        return "standard"
    return word if word == "auto" else names.TIERS.get(word, "unknown")


def at_tier(rate: Rate, asked: str | None) -> Rate:
    """The rate at the requested service tier. Never below the standard one: a provider may serve it so.

    `auto`, OpenAI's default, may be served as priority, by the account's settings. A tier that LiteLLM does not price
    apart costs the standard price; the cost of an unknown tier is unknown.
    """
    return _at_tier(rate, tier_of(asked))


@lru_cache(maxsize=1_024)  # the same few for every call
def _at_tier(rate: Rate, tier: str) -> Rate:
    if tier == "standard":
        return rate
    chosen = ["priority"] if tier == "auto" else list(rate.tiers) if tier == "unknown" else [tier]
    tiers = [rate.tiers[each] for each in chosen if each in rate.tiers]
    if not tiers:
        return rate
    likely = rate.expected_input if tier == "auto" else max(each.expected_input or 0 for each in (rate, *tiers))
    return replace(
        rate,
        input=max(each.input for each in (rate, *tiers)),
        output=max(each.output for each in (rate, *tiers)),
        expected_input=likely,
    )


def dearest(rates: Iterable[Rate]) -> Rate:
    """The highest price in each direction and the longest answer of several models; known if all of them are."""
    every = list(rates)
    endings = dict.fromkeys(ending for rate in every for ending in rate.tiers)
    return replace(
        _dearest(every),
        tiers={ending: _dearest([rate.tiers.get(ending, rate) for rate in every]) for ending in endings},
    )


def _dearest(every: list[Rate]) -> Rate:
    likely = [rate.input if rate.expected_input is None else rate.expected_input for rate in every]
    return Rate(
        input=max(rate.input for rate in every),
        output=max(rate.output for rate in every),
        unit=max(rate.unit for rate in every),
        max_output_tokens=max(rate.max_output_tokens for rate in every),
        is_known=all(rate.is_known for rate in every),
        expected_input=None if all(rate.expected_input is None for rate in every) else max(likely),
        call=NanoUsd(max(rate.call for rate in every)),
        file=NanoUsd(max(rate.file for rate in every)),
        answers=max(rate.answers for rate in every),
    )


def _priced_tokens(info: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Name and price of every token, those of tiers by the prompt's length and of hours included."""
    tables = info.get(names.TIERED)
    inner = [*(tables if isinstance(tables, list) else ()), info.get(names.OFF_PEAK)]
    for table in (info, *inner):
        for name, price in table.items() if isinstance(table, Mapping) else ():
            if not name.endswith(("_batches", "_decisions")) and price is not None:
                yield name, _float(price)


def _of(kinds: tuple[str, ...], prices: list[tuple[str, float]], ending: str | None = None) -> list[float]:
    """The prices of these kinds of tokens, at the standard tier or at another."""
    return [
        price
        for name, price in prices
        if name.startswith(kinds)
        and "_per_second" not in name
        and (f"_{ending}" in name if ending else not any(other in name for other in names.ENDINGS))
    ]


def _call(info: Mapping[str, Any], model: str, params: Mapping[str, Any]) -> NanoUsd:
    """The cost of a call beside its tokens."""
    second = 0.0
    if not info.get(names.INPUT) and not info.get(names.OUTPUT) and not info.get(names.TIERED):
        seconds = ("cost_per_second", "input_cost_per_second", "output_cost_per_second")
        second = _highest(_float(info.get(name)) for name in seconds)
    once = _float(info.get("input_cost_per_request")) + _float(info.get("input_cost_per_query"))
    context = info.get(names.SEARCH)
    search = _highest(map(_float, context.values())) if isinstance(context, Mapping) else _float(context)
    return money(second * CALL_S + once + (search + _float(info.get(names.MAPS))) * _searches(model, params))


def _searches(model: str, params: Mapping[str, Any]) -> int:
    """The searches that one call may make. Clients can only request functions, so others search when the YAML enables
    it.
    """
    name = model.lower()
    if "deep-research" in name:
        return DEEP_SEARCHES
    is_asked = bool(params.get("web_search_options")) or any(
        isinstance(tool, Mapping) and tool.get("type", "function") != "function" for tool in params.get("tools") or ()
    )
    searches_itself = any(word in name for word in ("perplexity", "sonar", "search-preview", "search-api", "compound"))
    return SEARCHES if is_asked or searches_itself else 0


def _file(info: Mapping[str, Any]) -> NanoUsd:
    """The cost of a file beside its tokens."""
    seconds = ("input_cost_per_audio_per_second", "input_cost_per_video_per_second")
    return money(_float(info.get("input_cost_per_image")) + FILE_S * _highest(_float(info.get(n)) for n in seconds))


def _uplift(info: Mapping[str, Any], params: Mapping[str, Any]) -> float:
    """The factor for all prices: for a region, and for speed where the YAML requests it."""
    own = info.get("provider_specific_entry")
    entries = own.items() if isinstance(own, Mapping) else ()
    speed = "fast" if "fast" in str((params.get("speed"), params.get("extra_body"))) else None
    regions = [_float(value) for name, value in entries if name != "fast"]
    regions += [_float(value) for name, value in info.items() if "uplift_multiplier" in name]
    faster = max([1.0, *(_float(value) for name, value in entries if name == speed)])
    return max([1.0, *regions]) * faster


def _highest(prices: Iterable[float]) -> float:
    return max(prices, default=0.0)


def _float(value: Any) -> float:
    """A number of the price list; LiteLLM reads text as a number, too."""
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0
