"""Which models LiteLLM can price, and which read PDFs, without importing it: the list is a JSON file inside its
package.

Reads the installed copy, which is also what LiteLLM uses when `LITELLM_LOCAL_MODEL_COST_MAP` is set. Its prices are
compared with those of the YAML, never billed: costs come from LiteLLM itself, so that one number is used everywhere.
"""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from control_plane.gateway.pricing.price_names import CHAT_MODES, INPUT, OUTPUT, TIERED, is_price, use_of

__all__ = [
    "PRICE_LIST",
    "Listed",
    "has_price",
    "is_listed",
    "is_listed_to_read_pdfs",
    "is_price",
    "list_chat_models",
    "listed_as",
    "listed_under",
    "nearest_listed",
    "provider_of",
]

PRICE_LIST = "model_prices_and_context_window_backup.json"

DATED = re.compile(r"-(?:20\d\d-?\d\d-?\d\d|\d{4}|\d{3}|latest|preview.*)$")
"""The suffix of a model's dated version."""

ROUTES = ("converse/", "invoke/", "responses/", "chat/")
"""Protocols between provider and model (`bedrock/converse/…`); not part of the priced name."""

SHARED_PRICES = {"azure_ai": ("azure", "openai"), "litellm_proxy": ("",), "github": ("",), "nadir": ("",)}
"""Providers that LiteLLM lets borrow another provider's price, by the beginning of that provider's name."""

FAMILIES = ("vertex_ai", "fireworks_ai", "bedrock")
"""Providers listed under several names that begin alike: `vertex_ai-anthropic_models`, `bedrock_converse`."""

INPUT_ONLY = frozenset({"embedding", "rerank", "moderation"})
"""Modes of models without output tokens."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A model's entry in the list: its provider, its mode, its prices in US dollars, and the most tokens of an answer."""

    provider: str
    mode: str | None
    prices: Mapping[str, Any]
    max_output_tokens: Any = None

    @property
    def is_priced(self) -> bool:
        """Whether its calls can be priced: a chat by its tokens or, at Google, its characters."""
        uses = ("chat",) if self.mode in CHAT_MODES else ("chat", "litellm", "other")
        return any(use_of(name) in uses or name == "input_cost_per_character" for name in self.prices)


def has_price(model: str, info: Mapping[str, Any]) -> bool:
    """Whether LiteLLM can price a call to this model.

    `model` is LiteLLM's name with the provider in front (`azure/gpt-4o`), `info` the deployment's `model_info`
    including its prices. Explicit prices count, zeros too: they declare the model free. A price per token needs both
    directions, because LiteLLM bills the one left out as 0, even for a model of its list; embeddings have no output. A
    chat is priced by its tokens only. `base_model` takes the model's place and must belong to the same provider, else
    LiteLLM bills 0 again.
    """
    listed = listed_as(model, base_model=info.get("base_model"))
    prices = {name: price for name, price in info.items() if is_price(name) and price is not None}
    if not prices:
        return listed is not None
    mode = info.get("mode") or (listed.mode if listed else None)
    if prices.keys() & {INPUT, OUTPUT} or mode in CHAT_MODES:
        return prices.keys() >= {INPUT, OUTPUT} or _is_tiered(prices) or (INPUT in prices and mode in INPUT_ONLY)
    return any(use_of(name) in ("chat", "other") for name in prices)


def _is_tiered(prices: Mapping[str, Any]) -> bool:
    """Whether every tier has a price in both directions; the model's own price of output stands in for a tier's."""
    tiers = prices.get(TIERED)
    return (
        isinstance(tiers, list)
        and bool(tiers)
        and all(isinstance(tier, Mapping) and INPUT in tier and (OUTPUT in tier or OUTPUT in prices) for tier in tiers)
    )


def listed_as(model: str, *, base_model: str | None = None) -> Listed | None:
    """LiteLLM's list entry of this model, or of `base_model` in its place."""
    listed = _listed()
    provider = provider_of(model)
    if provider is None:
        return None
    found = (listed.get(candidate) for candidate in _spellings(provider, base_model or model))
    return next((entry for entry in found if entry and entry.prices and _may_use_price(provider, entry.provider)), None)


def listed_under(key: str) -> Listed | None:
    """The list entry under exactly this key.

    Read from the file, not from LiteLLM: it writes a deployment's `model_info` into its own copy, where it applies to
    every other deployment of that model, also when the first is gone.
    """
    return _listed().get(key)


def list_chat_models(provider: str) -> list[str]:
    """The chat models of a provider that are priced by their tokens, as `provider/name`, without dated versions."""
    found: set[str] = set()
    for key, listed in _listed().items():
        name = key.removeprefix(f"{provider}/")
        if (
            listed.provider == provider
            and listed.mode == "chat"
            and listed.is_priced
            and "/" not in name
            and ":" not in name
        ):
            found.add(name)
    undated = {name for name in found if DATED.sub("", name) not in found - {name}}
    return sorted(f"{provider}/{name}" for name in undated if has_price(f"{provider}/{name}", {}))


def is_listed(model: str, *, base_model: str | None = None) -> bool:
    """Whether LiteLLM's list prices this model, or `base_model` in its place."""
    return listed_as(model, base_model=base_model) is not None


def is_listed_to_read_pdfs(model: str, *, base_model: str | None = None) -> bool:
    """Whether this model, or `base_model` in its place, reads PDFs by LiteLLM's list.

    Read from the file, not from LiteLLM: it stores deployments' own `model_info` in the same table, also when they are
    gone.
    """
    readers = _pdf_readers()
    provider = provider_of(model)
    if provider is None:
        return False
    return any(
        candidate in readers and _may_use_price(provider, readers[candidate])
        for candidate in _spellings(provider, base_model or model)
    )


def provider_of(model: str) -> str | None:
    """The provider in front of the model's name, or the one LiteLLM finds in its list; None when it would find none."""
    provider, slash, _ = model.partition("/")
    if slash:
        return provider
    listed = _listed().get(model)
    return listed.provider if listed else None


def nearest_listed(model: str) -> str | None:
    """The listed model whose name is most like this one, of the same provider, spelled as a deployment's `model`."""
    provider = provider_of(model)
    if provider is None:
        return None
    names = [
        key if key.startswith(f"{provider}/") else f"{provider}/{key}"
        for key, listed in _listed().items()
        if listed.is_priced and _may_use_price(provider, listed.provider)
    ]
    return next(iter(get_close_matches(model, names, n=1, cutoff=0.7)), None)


def _spellings(provider: str, model: str) -> Iterator[str]:
    """The keys under which LiteLLM's list may hold a model: with the provider in front, or without."""
    name = model.removeprefix(f"{provider}/")
    yield f"{provider}/{name}"
    yield name
    for route in ROUTES:
        if name.startswith(route):
            yield f"{provider}/{name.removeprefix(route)}"
            yield name.removeprefix(route)


def _may_use_price(provider: str, owner: str) -> bool:
    """LiteLLM's own rule (`_check_provider_match`): a price counts for its provider only, with a few relatives."""
    families = tuple(family for family in FAMILIES if provider.startswith(family))
    return owner == provider or owner.startswith(families + SHARED_PRICES.get(provider, ()))


@lru_cache(maxsize=1)
def _listed() -> Mapping[str, Listed]:
    """Every model of LiteLLM's list. 20 ms to read, 4 000 small tables to keep."""
    return {model: _listed_model(entry) for model, entry in _entries().items()}


def _listed_model(entry: Mapping[str, Any]) -> Listed:
    prices = {name: price for name, price in entry.items() if is_price(name)}
    limit = entry.get("max_output_tokens") or entry.get("max_tokens")
    return Listed(str(entry.get("litellm_provider", "")), entry.get("mode"), prices, limit)


@lru_cache(maxsize=1)
def _pdf_readers() -> Mapping[str, str]:
    """Every model that reads PDFs with its provider, likewise."""
    return {
        model: str(entry.get("litellm_provider", ""))
        for model, entry in _entries().items()
        if entry.get("supports_pdf_input")
    }


def _entries() -> Mapping[str, Any]:
    package = importlib.util.find_spec("litellm")  # finds the package without running it
    assert package is not None, "litellm is a dependency of this package"
    assert package.origin is not None
    entries = json.loads((Path(package.origin).parent / PRICE_LIST).read_text(encoding="utf-8"))
    return {model: entry for model, entry in entries.items() if model != "sample_spec"}
