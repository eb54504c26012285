"""Usage by kind as response models of the Job API: of a call, an attempt, and all billed calls of a job."""

from collections.abc import Iterable
from typing import Any

from control_plane.completion.usage import Usage
from control_plane.schemas.jobs import UsageTotals, UsageView


def usage_view(usage: Usage) -> UsageView:
    """Usage of one call, or one attempt."""
    return UsageView(**_counts(usage), service_tier=usage.service_tier)


def usage_totals(usages: Iterable[Usage]) -> UsageTotals:
    """Usage in sum: each figure is the sum of theirs as they are shown."""
    totals = dict.fromkeys(UsageTotals.model_fields, 0)
    for usage in usages:
        for kind, count in _counts(usage).items():
            totals[kind] += count
    return UsageTotals(**totals)


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "input_fresh_tokens": usage.fresh_tokens,
        "cache_read_tokens": usage.cached_tokens,
        "cache_write_5m_tokens": max(0, usage.cache_write_tokens - usage.cache_write_1h_tokens),
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
        "image_input_tokens": usage.image_input_tokens,
        "image_output_tokens": usage.image_output_tokens,
        "units": usage.units,
    }
