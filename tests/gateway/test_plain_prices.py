"""Prices by three numbers: for every model of LiteLLM's list that has such a price, the nano-dollar that LiteLLM says."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.completion.usage import Usage
from control_plane.gateway.pricing import prices
from control_plane.gateway.pricing.endpoint_prices import PlainPrice, plain_price
from control_plane.gateway.pricing.prices import litellms_cost
from control_plane.units import NanoUsd
from tests.gateway.conftest import Deploy, Opener
from tests.gateway.test_holds import PROVIDERS, models_of, rate_of

GPT_4O = PlainPrice(fresh=2_500_000_000, cached=1_250_000_000, output=10_000_000_000)


def random_usage(chance: random.Random) -> Usage:
    prompt, completion = int(10 ** chance.uniform(0, 6.3)), int(10 ** chance.uniform(0, 5))
    return Usage(
        prompt,
        completion,
        cached_tokens=chance.choice((0, chance.randint(0, prompt))),
        reasoning_tokens=chance.choice((0, chance.randint(0, completion))),
        service_tier=chance.choice((None, "default")),
    )


@pytest.mark.slow
def test_every_listed_model_costs_what_litellm_says() -> None:
    chance, plain, wrong = random.Random(11), 0, []
    for provider in PROVIDERS:
        for model, _ in models_of(provider):
            tag, _ = rate_of(model, provider)
            if tag.plain is None:
                continue
            plain += 1
            for usage in (random_usage(chance) for _ in range(5)):
                ours, theirs = tag.plain.of(usage), litellms_cost(tag, usage)
                if ours != theirs:
                    wrong.append((tag.model, usage, ours, theirs))
    assert not wrong, (len(wrong), wrong[:3])
    assert plain > 100


def test_the_best_known_model_is_priced_here() -> None:
    assert rate_of("gpt-4o", "openai")[0].plain == GPT_4O
    assert GPT_4O.of(Usage(1, 0, cached_tokens=1)) == 1_250
    assert GPT_4O.of(Usage(0, 0)) == 0


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 1, cache_write_tokens=5),
        Usage(10, 1, audio_input_tokens=5),
        Usage(10, 1, audio_output_tokens=1),
        Usage(10, 1, image_input_tokens=5),
        Usage(10, 1, image_output_tokens=1),
        Usage(10, 1, units=1),
        Usage(10, 1, service_tier="priority"),
        Usage(10, 1, cached_tokens=11),
        Usage(10, 1, reasoning_tokens=2),
    ],
)
def test_what_has_a_price_of_its_own_is_left_to_litellm(usage: Usage) -> None:
    assert GPT_4O.of(usage) is None
    tag, _ = rate_of("gpt-4o", "openai")
    assert prices.cost_of(tag, usage) == litellms_cost(tag, usage)


@pytest.mark.parametrize(
    "more",
    [
        {"input_cost_per_token_above_200k_tokens": 2e-6},
        {"off_peak_pricing": {"input_cost_per_token": 1e-7}},
        {"tiered_pricing": [{"range": [10, 20], "input_cost_per_token": 1e-7, "output_cost_per_token": 1e-7}]},
        {"output_cost_per_reasoning_token": 9e-6},
        {"input_cost_per_token": 1e-13},
        {"input_cost_per_token": "0.1 cents"},
        {"input_cost_per_token": -1e-6},
    ],
)
def test_a_price_that_depends_on_more_is_left_to_litellm(more: dict[str, Any]) -> None:
    basis: dict[str, Any] = {"input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6}
    assert plain_price(basis, calculated_by(basis)) == PlainPrice(10**9, 10**9, 4 * 10**9)
    assert plain_price(basis | more, calculated_by(basis | more)) is None


def calculated_by(info: dict[str, Any]) -> Callable[[Usage], NanoUsd]:
    """What LiteLLM calculates by these prices, at noon."""

    def litellms(usage: Usage) -> NanoUsd:
        fresh = 2_000 if "input_cost_per_token_above_200k_tokens" in info and usage.prompt_tokens > 200_000 else 1_000
        thought = 9_000 if "output_cost_per_reasoning_token" in info else 4_000
        written = usage.completion_tokens - usage.reasoning_tokens
        return NanoUsd(usage.prompt_tokens * fresh + written * 4_000 + usage.reasoning_tokens * thought)

    return litellms


async def test_a_deployments_own_price_is_one_from_the_first_opening(gateway_for: Opener, deploy: Deploy) -> None:
    info = {"input_cost_per_token": 3e-6, "output_cost_per_token": 7e-6}
    gateway = await gateway_for(deploy("ok", info=info, model="openai/never-opened-before"))
    tag = gateway._primaries["ok"].tag
    assert tag.plain == PlainPrice(3 * 10**9, 3 * 10**9, 7 * 10**9)
    assert prices.cost_of(tag, Usage(11, 5)) == litellms_cost(tag, Usage(11, 5)) == 68_000


def test_nobodys_price_is_no_price() -> None:
    assert plain_price({}, lambda _: None) is None
    assert plain_price({"input_cost_per_token": 0, "output_cost_per_token": 0}, lambda _: NanoUsd(0)) == PlainPrice(
        0, 0, 0
    )
