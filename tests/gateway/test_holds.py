"""No call costs more than what was held for it: tried with every model of LiteLLM's price list, priced by LiteLLM."""

import base64
import json
import random
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.chat import ChatRequest, Rate, UsageEstimate
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.estimates import estimate_usage
from control_plane.gateway.pricing import prices
from control_plane.gateway.pricing.price_list import PRICE_LIST
from control_plane.gateway.pricing.price_names import is_price, use_of
from control_plane.gateway.pricing.rates import SEARCHES, at_tier, money

pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict:UserWarning")

MODES = {"chat", "responses", "completion", None}

TIERS = (None, "auto", "default", "flex", "priority", "balanced", "fast", "ultrafast")

ROUTED = {"bedrock_converse": "bedrock", "text-completion-openai": "text-completion-openai"}
"""Providers of the list by the name that calls them, where it differs."""

UNBOUNDED = {
    "azure_ai/model_router": "the model that it chooses has a price of its own, known afterwards",
    "azure_ai/model-router": "the model that it chooses has a price of its own, known afterwards",
}
"""Models for which nothing that can be held is sure to be enough, each with the reason."""


NOT_CALLED = {
    **dict.fromkeys(
        ("anyscale", "coralbricks", "inferenceapis", "microsoft_365_copilot", "openinfer", "scaledown"),
        "LiteLLM lists its prices but cannot call it",
    ),
    "fireworks_ai-embedding-models": "entries are sizes of models, not models",
    "github_copilot": "signs in before it says what a model costs",
}
"""Providers of the list that no deployment can have here, each with the reason."""


@pytest.fixture(scope="module")
def litellm() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm  # noqa: PLC0415  # takes seconds; only these tests pay for it
    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    return litellm


def price_list() -> Mapping[str, Mapping[str, Any]]:
    import importlib.util  # noqa: PLC0415

    package = importlib.util.find_spec("litellm")
    assert package is not None
    assert package.origin is not None
    entries = json.loads((Path(package.origin).parent / PRICE_LIST).read_text(encoding="utf-8"))
    return {model: entry for model, entry in entries.items() if model != "sample_spec"}


LISTED = price_list()
CHAT_MODELS = {
    model: entry
    for model, entry in LISTED.items()
    if entry.get("mode") in MODES and any(is_price(name) for name in entry) and model not in UNBOUNDED
}


def provider_of(entry: Mapping[str, Any]) -> str:
    said = str(entry["litellm_provider"])
    return "vertex_ai" if said.startswith("vertex_ai") else ROUTED.get(said, said)


PROVIDERS = sorted(
    {provider_of(entry) for entry in CHAT_MODELS.values() if "litellm_provider" in entry} - {*NOT_CALLED}
)


def models_of(provider: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One model for each set of prices: those of the same prices cost the same."""
    seen = set()
    for model, entry in CHAT_MODELS.items():
        if entry.get("litellm_provider") and provider_of(entry) == provider:
            form = json.dumps({name: value for name, value in entry.items() if is_price(name)}, sort_keys=True)
            name = model.removeprefix(f"{provider}/")
            if (form, "/" in name) not in seen:
                seen.add((form, "/" in name))
                yield name, entry


def lengths_of(entry: Mapping[str, Any]) -> set[int]:
    """Prompts around which prices change, and an ordinary one."""
    steps = {int(name.split("_above_")[-1].split("k_tokens")[0]) * 1000 for name in entry if name.endswith("k_tokens")}
    steps |= {int(end) for tier in entry.get("tiered_pricing") or () for end in tier["range"] if end < 10**8}
    return {1000, *(step + more for step in steps for more in (0, 1))} - {0}


def usages(litellm: Any, prompt: int, answer: int) -> Iterator[Any]:
    """The ways a provider can say what tokens they were."""
    details = [
        None,
        {"cached_tokens": prompt},
        {"audio_tokens": prompt},
        {"image_tokens": prompt},
        {"video_tokens": prompt},
        {"cached_tokens": prompt, "cached_tokens_details": {"audio_tokens": prompt}},
        {"cache_creation_tokens": prompt},
        {"cache_creation_tokens": prompt, "cache_creation_token_details": {"ephemeral_1h_input_tokens": prompt}},
        {"cache_creation_tokens": prompt, "cache_creation_token_details": {"ephemeral_5m_input_tokens": prompt}},
        {"text_tokens": prompt, "image_tokens": 0},
    ]
    answers = [
        None,
        {"audio_tokens": answer},
        {"image_tokens": answer},
        {"video_tokens": answer},
        {"reasoning_tokens": answer},
        {"text_tokens": answer},
    ]
    pairs = [*((detail, None) for detail in details), *((None, detail) for detail in answers[1:])]
    for detail, answered in pairs:
        yield litellm.Usage(
            prompt_tokens=prompt,
            completion_tokens=answer,
            total_tokens=prompt + answer,
            prompt_tokens_details=detail and litellm.types.utils.PromptTokensDetailsWrapper(**detail),
            completion_tokens_details=answered and litellm.types.utils.CompletionTokensDetailsWrapper(**answered),
        )


def rate_of(model: str, provider: str) -> tuple[prices.PriceTag, Rate]:
    deployment = Deployment("m#1", "m", {"model": f"{provider}/{model}"})
    tag = prices.price_tag(deployment)
    return tag, tag.rate


def tiers_of(entry: Mapping[str, Any]) -> tuple[str | None, ...]:
    return TIERS if any(name.endswith(("_flex", "_priority", "_balanced", "_ultrafast")) for name in entry) else (None,)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_usage_costs_more_than_what_is_held(litellm: Any, provider: str) -> None:
    short, tried = [], 0
    for model, entry in models_of(provider):
        tag, rate = rate_of(model, provider)
        for prompt in lengths_of(entry):
            for tier in tiers_of(entry):
                held = UsageEstimate(prompt, prompt, 700, at_tier(rate, tier), answers=2).cost
                for usage in usages(litellm, prompt, 1400):
                    tried += 1
                    cost = litellms_cost(litellm, tag, usage, tier)
                    if cost > held:
                        short.append((model, tier, prompt, cost, held, usage.model_dump(exclude_none=True)))
    assert tried
    assert not short, (len(short), short[:3])


def litellms_cost(litellm: Any, tag: prices.PriceTag, usage: Any, tier: str | None) -> int:
    """At the tier that was asked for; `auto` may have been served as priority."""
    served = "priority" if tier in (None, "auto") else tier
    try:
        parts = litellm.cost_per_token(
            model=tag.model, custom_llm_provider=tag.provider, usage_object=usage, service_tier=served
        )
    except Exception:  # noqa: BLE001  # LiteLLM has no price, so there is nothing that could cost more
        assert not tag.rate.is_known, f"{tag.model} has a price that LiteLLM cannot calculate by"
        return 0
    return money(sum(parts))


def test_every_field_of_the_price_list_is_accounted_for() -> None:
    named = {name for entry in LISTED.values() for name in entry if is_price(name)}
    assert {name for name in named if use_of(name) is None} == set()


def test_searches_are_held_for_models_that_search_by_themselves() -> None:
    assert rate_of("gpt-4o-search-preview", "openai")[1].call >= money(0.025)
    assert rate_of("sonar", "perplexity")[1].call >= SEARCHES * money(0.005)
    assert rate_of("gpt-4o", "openai")[1].call == 0


def test_a_searched_answer_of_perplexity_is_held(litellm: Any) -> None:
    tag, rate = rate_of("sonar", "perplexity")
    details = litellm.types.utils.PromptTokensDetailsWrapper(web_search_requests=SEARCHES)
    usage = litellm.Usage(prompt_tokens=10, completion_tokens=10, total_tokens=20, prompt_tokens_details=details)
    assert litellms_cost(litellm, tag, usage, None) <= UsageEstimate(10, 10, 10, rate).cost


@pytest.mark.parametrize(
    ("info", "params"),
    [
        ({"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_creation_input_token_cost": 5e-6}, {}),
        ({"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "output_cost_per_audio_token": 9e-6}, {}),
        (
            {
                "tiered_pricing": [
                    {"range": [0, 1000], "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
                    {"range": [1000, 9000], "input_cost_per_token": 3e-6, "output_cost_per_token": 6e-6},
                ]
            },
            {},
        ),
        (
            {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "output_cost_per_token_priority": 5e-6},
            {"service_tier": "priority"},
        ),
    ],
)
def test_prices_of_the_yaml_are_held(litellm: Any, info: dict[str, Any], params: dict[str, Any]) -> None:
    id_ = f"yaml#{abs(hash(json.dumps(info)))}"
    litellm.register_model({id_: dict(info)})
    deployment = Deployment(id_, "m", {"model": "openai/mine", **params}, {"id": id_, **info})
    tag = prices.price_tag(deployment)
    assert tag.rate.is_known
    for prompt in (500, 1001, 9001):
        held = UsageEstimate(prompt, prompt, 100, at_tier(tag.rate, None)).cost
        for usage in usages(litellm, prompt, 100):
            assert 0 < litellms_cost(litellm, tag, usage, params.get("service_tier")) <= held


def dense_texts() -> Mapping[str, str]:
    chance = random.Random(7)  # the same texts each time

    def of(letters: str, length: int = 4000) -> str:
        return "".join(chance.choice(letters) for _ in range(length))

    return {
        "letters": of(string.ascii_lowercase),
        "rare letters": of("qzxjvkw"),
        "one letter at a time": " ".join(of(string.ascii_lowercase, 2000)),
        "base64": base64.b64encode(chance.randbytes(3000)).decode(),
        "capitals": of(string.ascii_uppercase),
        "signs": of(string.printable),
        "chinese": "".join(chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(1500)),
        "hieroglyphs": "".join(chr(chance.randint(0x13000, 0x133FF)) for _ in range(1000)),
        "emoji": "".join(chr(chance.randint(0x1F300, 0x1F6FF)) for _ in range(1000)),
        "short": "𓀀" * 9,
    }


@pytest.mark.parametrize("name", dense_texts())
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_no_text_is_more_tokens_than_are_held_for_it(litellm: Any, model: str, name: str) -> None:
    text = dense_texts()[name]
    held = estimate_usage(ChatRequest([{"role": "user", "content": text}]), Rate()).prompt_tokens
    assert litellm.token_counter(model=model, text=text) <= held
