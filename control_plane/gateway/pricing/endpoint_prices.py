"""Prices a usage by three fixed prices per token, in integers, where LiteLLM's own calculation is no more than that.

LiteLLM takes most of a millisecond for every answer, for any price. So a deployment's prices are tried on LiteLLM when
the deployment is opened; where it calculates the same for every sample, its answers are priced here. Prices that depend
on more (the length of the prompt, the hour, the region, the tier, a special kind of token) are still calculated by
LiteLLM. The result is the same nano-dollar either way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.chat import MILLION
from control_plane.completion.usage import Usage
from control_plane.gateway.pricing import price_names as names
from control_plane.gateway.pricing.rates import per_million
from control_plane.units import NanoUsd

STANDARD = frozenset({None, "default", "standard"})
"""Service tiers that are priced as if none was named."""

FINEST = 1_000
"""Nano-USD for a million tokens: a price that is finer than 10^-12 dollars for a token is rounded by LiteLLM's floats."""

SAMPLES = (
    Usage(1, 0),
    Usage(0, 1),
    Usage(7, 3, cached_tokens=5, reasoning_tokens=2),
    Usage(100_003, 10_007, cached_tokens=64_000, reasoning_tokens=9_001, service_tier="default"),
    Usage(3_000_017, 1_000_003, cached_tokens=2_000_000, service_tier="standard"),
)
"""Short and longer than any prompt whose length changes its price."""


@dataclass(frozen=True, slots=True)
class PlainPrice:
    """Nano-USD for a million tokens: fresh input, input read from the provider's cache, output."""

    fresh: int
    cached: int
    output: int

    def of(self, usage: Usage) -> NanoUsd | None:
        """The price, rounded up to a nano-dollar; None for a usage that these prices do not cover."""
        if (
            usage.service_tier not in STANDARD
            or usage.cache_write_tokens
            or usage.audio_input_tokens
            or usage.audio_output_tokens
            or usage.image_input_tokens
            or usage.image_output_tokens
            or usage.units
            or usage.cached_tokens > usage.prompt_tokens
            or usage.reasoning_tokens > usage.completion_tokens
        ):
            return None
        fresh = usage.prompt_tokens - usage.cached_tokens
        total = fresh * self.fresh + usage.cached_tokens * self.cached + usage.completion_tokens * self.output
        return NanoUsd(-(-total // MILLION))


def plain_price(info: Mapping[str, Any], litellms: Callable[[Usage], NanoUsd | None]) -> PlainPrice | None:
    """The three prices of a deployment, if `litellms` calculation follows from them. `info`: its prices as LiteLLM names
    them.
    """
    if any(info.get(name) is not None for name in (names.OFF_PEAK, names.TIERED)):
        return None
    fresh, output = info.get(names.INPUT), info.get(names.OUTPUT)
    cached = info.get(names.CACHE_READ)
    try:
        prices = [
            per_million(float(price)) for price in (fresh or 0, fresh or 0 if cached is None else cached, output or 0)
        ]
    except (TypeError, ValueError):
        return None
    if any(price % FINEST for price in prices):
        return None
    plain = PlainPrice(*prices)
    return plain if all(plain.of(sample) == litellms(sample) for sample in SAMPLES) else None
