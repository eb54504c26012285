"""What a provider reports of its usage, merged over the chunks of an answer and checked. Pure; nothing here raises.

Every field is merged by itself, the larger count wins: some providers report cumulatively, some in pieces, and some
end with zeros. A count that cannot be true is no count.
"""

from collections.abc import Mapping
from typing import Any

from control_plane.completion.usage import Usage
from control_plane.gateway.reading.numbers import dollars_of, tokens_of

Json = Mapping[str, Any]

PLACES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "prompt_tokens": (("prompt_tokens",), ("input_tokens",)),
    "completion_tokens": (("completion_tokens",), ("output_tokens",)),
    "cached_tokens": (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cache_read_input_tokens",),
        ("prompt_cache_hit_tokens",),  # DeepSeek
        ("cached_tokens",),  # Moonshot
    ),
    "cache_write_tokens": (
        ("prompt_tokens_details", "cache_write_tokens"),  # OpenRouter
        ("prompt_tokens_details", "cache_creation_tokens"),  # LiteLLM
        ("input_tokens_details", "cache_write_tokens"),
        ("cache_creation_input_tokens",),
    ),
    "cache_write_1h_tokens": (
        ("cache_creation", "ephemeral_1h_input_tokens"),
        ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_1h_input_tokens"),
    ),
    "reasoning_tokens": (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("reasoning_tokens",),
    ),
    "audio_input_tokens": (("prompt_tokens_details", "audio_tokens"), ("input_tokens_details", "audio_tokens")),
    "audio_output_tokens": (("completion_tokens_details", "audio_tokens"), ("output_tokens_details", "audio_tokens")),
    "image_input_tokens": (("prompt_tokens_details", "image_tokens"), ("input_tokens_details", "image_tokens")),
    "image_output_tokens": (("completion_tokens_details", "image_tokens"), ("output_tokens_details", "image_tokens")),
}
"""Where providers report each count; the first place that holds one counts."""

TeamLimiter = dict[str, "tuple[str, int] | TeamLimiter"]
"""TeamLimiter by their keys, a level for each: at the end the count's name, and how many places of it come first."""

MOST_TIER = 40
"""Characters of a service tier's name."""


class ReportedUsage:
    """What the provider reported so far. `cost` is what it says that it charges, in US dollars (OpenRouter)."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.cost: float | None = None
        self.service_tier: str | None = None

    def take(self, reported: Any) -> None:
        """One `usage` of an answer or a chunk, whatever it is."""
        if not isinstance(reported, dict):
            return
        found: dict[str, tuple[int, int]] = {}
        _find_counts(reported, _BY_KEY, found)
        for name, (_, count) in found.items():
            self.counts[name] = max(count, self.counts.get(name, 0))
        self._take_anthropic(reported)
        if "reasoning_tokens" in found:
            self._take_reasoning_beside(reported, found["reasoning_tokens"][1])
        cost = _cost(reported)
        if cost is not None:
            self.cost = max(cost, self.cost or 0.0)
        self.take_tier(reported.get("service_tier"))

    def take_tier(self, said: Any) -> None:
        """The service tier that an answer names."""
        if isinstance(said, str) and said.isascii() and 0 < len(said) <= MOST_TIER:
            self.service_tier = said.lower()

    def prompt_tokens(self) -> int | None:
        """The whole input; None where it is missing: a prompt has at least one token."""
        return self.counts.get("prompt_tokens") or None

    def completion_tokens(self, *, has_content: bool) -> int | None:
        """The whole output; None where it is missing. Content without a token is a count that is missing."""
        count = self.counts.get("completion_tokens")
        return None if has_content and not count else count

    def usage(self, *, prompt_tokens: int, completion_tokens: int, is_estimated: bool) -> Usage:
        """Both totals, with the kinds that can be true of them."""
        counts = self.counts
        cached = min(counts.get("cached_tokens", 0), prompt_tokens)
        written = min(counts.get("cache_write_tokens", 0), prompt_tokens - cached)
        return Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            is_estimated=is_estimated,
            cached_tokens=cached,
            cache_write_tokens=written,
            cache_write_1h_tokens=min(counts.get("cache_write_1h_tokens", 0), written),
            reasoning_tokens=min(counts.get("reasoning_tokens", 0), completion_tokens),
            audio_input_tokens=min(counts.get("audio_input_tokens", 0), prompt_tokens),
            image_input_tokens=min(counts.get("image_input_tokens", 0), prompt_tokens),
            audio_output_tokens=min(counts.get("audio_output_tokens", 0), completion_tokens),
            image_output_tokens=min(counts.get("image_output_tokens", 0), completion_tokens),
            service_tier=self.service_tier,
        )

    def _take_anthropic(self, reported: Json) -> None:
        """Anthropic's `input_tokens` leave out what was read from and written to its cache."""
        if "prompt_tokens" in reported or not (
            {"cache_read_input_tokens", "cache_creation_input_tokens"} & reported.keys()
        ):
            return
        parts = [
            tokens_of(reported.get(name)) or 0
            for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        ]
        self.counts["prompt_tokens"] = max(sum(parts), self.counts.get("prompt_tokens", 0))

    def _take_reasoning_beside(self, reported: Json, reasoning: int) -> None:
        """xAI and Gemini's OpenAI endpoint leave reasoning out of the output, and count it in the total."""
        if not reasoning:
            return
        names = ("total_tokens", "prompt_tokens", "completion_tokens")
        total, prompt, completion = (tokens_of(reported.get(name)) for name in names)
        if total is None or prompt is None or completion is None:
            return
        if total == prompt + completion + reasoning:
            self.counts["completion_tokens"] = max(completion + reasoning, self.counts.get("completion_tokens", 0))


def _by_key() -> TeamLimiter:
    root: TeamLimiter = {}
    for name, places in PLACES.items():
        for rank, (*above, key) in enumerate(places):
            level = root
            for each in above:
                below = level.setdefault(each, {})
                assert isinstance(below, dict), "no count has others in it"
                level = below
            level[key] = (name, rank)
    return root


_BY_KEY = _by_key()


def _find_counts(reported: Json, places: TeamLimiter, found: dict[str, tuple[int, int]]) -> None:
    """Adds each count that stands at one of the places, with the place's rank: the first of its places counts."""
    for key, value in reported.items():
        place = places.get(key)
        if place is None or value is None:
            continue
        if isinstance(place, dict):
            if isinstance(value, dict):
                _find_counts(value, place, found)
            continue
        name, rank = place
        count = tokens_of(value)
        if count is not None and (name not in found or rank < found[name][0]):
            found[name] = (rank, count)


def _cost(reported: Json) -> float | None:
    """What OpenRouter charges: its own price and, with a key of the operator's, what the provider behind it charges."""
    cost = dollars_of(reported.get("cost"))
    details = reported.get("cost_details")
    upstream = dollars_of(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    if reported.get("is_byok") is False or not upstream:
        return cost
    return (cost or 0.0) + upstream
