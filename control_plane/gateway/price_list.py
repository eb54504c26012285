"""Which models LiteLLM can price, and which read PDFs, known without importing it: the list is a JSON file inside its
package.

Reads the copy that is installed, which is also what LiteLLM uses when `LITELLM_LOCAL_MODEL_COST_MAP` is set. Only tells
whether there is a price, never how much: money comes from LiteLLM itself, so that one number stands everywhere.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

PRICE_LIST = "model_prices_and_context_window_backup.json"

ROUTES = ("converse/", "invoke/", "responses/", "chat/")
"""What may stand between provider and model to choose a protocol (`bedrock/converse/…`); not part of the priced name."""

SHARED_PRICES = {"azure_ai": ("azure", "openai"), "litellm_proxy": ("",), "github": ("",), "nadir": ("",)}
"""Providers that LiteLLM lets borrow another provider's price, by the beginning of that provider's name."""

FAMILIES = ("vertex_ai", "fireworks_ai", "bedrock")
"""Providers listed under several names that begin alike: `vertex_ai-anthropic_models`, `bedrock_converse`."""

INPUT, OUTPUT = "input_cost_per_token", "output_cost_per_token"


def is_price(name: str) -> bool:
    """Whether a key of `litellm_params` or `model_info` is a price: `output_cost_per_second`, `tiered_pricing`."""
    return "_cost" in name or "cost_" in name or name.endswith("_pricing")


def has_price(model: str, info: Mapping[str, Any]) -> bool:
    """Whether LiteLLM will know what a call to this model costs.

    `model` is LiteLLM's name with the provider in front (`azure/gpt-4o`), `info` the deployment's `model_info` including
    its prices. Explicit prices count, zeros too: they declare the model free. A price per token needs both directions,
    because LiteLLM bills the one left out as 0, even for a model of its list; embeddings have no output. `base_model`
    takes the model's place and must belong to the same provider, else LiteLLM bills 0 again.
    """
    prices = {name for name, price in info.items() if is_price(name) and price is not None}
    if prices & {INPUT, OUTPUT}:
        return prices >= {INPUT, OUTPUT} or (INPUT in prices and info.get("mode") in {"embedding", "rerank"})
    if prices:
        return True
    return is_listed(model, base_model=info.get("base_model"))


def is_listed(model: str, *, base_model: str | None = None) -> bool:
    """Whether LiteLLM's list prices this model, or `base_model` in its place."""
    listed = _listed_providers()
    provider = provider_of(model)
    if provider is None:
        return False
    name = base_model or model
    return any(
        candidate in listed and _may_use_price(provider, listed[candidate]) for candidate in _spellings(provider, name)
    )


def is_listed_to_read_pdfs(model: str, *, base_model: str | None = None) -> bool:
    """Whether LiteLLM's list says that this model, or `base_model` in its place, reads PDFs.

    Not asked of LiteLLM: it keeps what deployments say of themselves in the same table, also when they are gone.
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
    return provider if slash else _listed_providers().get(model)


def nearest_listed(model: str) -> str | None:
    """The listed model whose name is most like this one, of the same provider, spelled as a deployment's `model`."""
    provider = provider_of(model)
    if provider is None:
        return None
    names = [
        key if key.startswith(f"{provider}/") else f"{provider}/{key}"
        for key, owner in _listed_providers().items()
        if _may_use_price(provider, owner)
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
def _listed_providers() -> Mapping[str, str]:
    """Every priced model of LiteLLM's list with its provider. 15 ms to read, 4 000 short strings to keep."""
    return {
        model: str(entry.get("litellm_provider", ""))
        for model, entry in _entries().items()
        if any(is_price(key) for key in entry)
    }


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
