"""Every name of a price in LiteLLM, and its use here. No litellm import; a test compares the table with the installed
LiteLLM.

`CHAT` prices a chat completion in both lanes: `prices.py` calculates by it. `LITELLM_LANE` is added by LiteLLM's own
logging only, so a deployment with such a price is never relayed. `OTHER_ENDPOINTS` prices embeddings, rerank, OCR and
media, never a chat. `NOT_USED` has no effect here: the batch API. `IGNORED` is in LiteLLM's list, but no cost is
calculated by it.
"""

import re
from collections.abc import Mapping
from typing import Literal

Use = Literal["chat", "litellm", "other", "unused", "ignored"]

INPUT, OUTPUT = "input_cost_per_token", "output_cost_per_token"
TIERED, OFF_PEAK, SEARCH = "tiered_pricing", "off_peak_pricing", "search_context_cost_per_query"
MAPS = "google_maps_grounding_cost_per_query"
CACHE_READ, CACHE_WRITE = "cache_read_input_token_cost", "cache_creation_input_token_cost"
LONG_CACHE_WRITE = f"{CACHE_WRITE}_above_1hr"

CHAT_MODES = frozenset({None, "chat", "responses", "completion"})
"""Modes of chat models in LiteLLM's list; None: not given."""

TIERS: Mapping[str, str] = {
    "flex": "flex",
    "balanced": "balanced",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
}
"""Service tiers that LiteLLM prices apart, with the ending of their prices' names."""

ENDINGS = tuple(f"_{ending}" for ending in dict.fromkeys(TIERS.values()))

PER_INPUT_TOKEN = (
    INPUT,
    CACHE_READ,
    CACHE_WRITE,
    LONG_CACHE_WRITE,
    "cache_read_input_audio_token_cost",
    "input_cost_per_audio_token",
    "input_cost_per_image_token",
    "input_cost_per_video_token",
    "citation_cost_per_token",
)
PER_OUTPUT_TOKEN = (
    OUTPUT,
    "output_cost_per_reasoning_token",
    "output_cost_per_audio_token",
    "output_cost_per_image_token",
    "output_cost_per_video_token",
)

CHAT = frozenset(
    {
        *PER_INPUT_TOKEN,
        *PER_OUTPUT_TOKEN,
        TIERED,
        OFF_PEAK,
        *(f"{INPUT}{ending}" for ending in ENDINGS),
        *(f"{OUTPUT}{ending}" for ending in ENDINGS),
        *(f"{CACHE_READ}{ending}" for ending in ENDINGS),
        *(f"{CACHE_WRITE}{ending}" for ending in ENDINGS if ending != "_balanced"),
        "output_cost_per_reasoning_token_flex",
        "output_cost_per_reasoning_token_priority",
    }
)
LITELLM_LANE = frozenset({SEARCH, MAPS})

OTHER_ENDPOINTS = frozenset(
    """
    annotation_cost_per_page cost_per_second input_cost_per_audio_per_second
    input_cost_per_audio_per_second_above_128k_tokens input_cost_per_character
    input_cost_per_character_above_128k_tokens input_cost_per_image input_cost_per_image_above_128k_tokens
    input_cost_per_pixel input_cost_per_query input_cost_per_second input_cost_per_video_per_second
    input_cost_per_video_per_second_above_128k_tokens input_cost_per_video_per_second_above_15s_interval
    input_cost_per_video_per_second_above_8s_interval ocr_cost_per_credit ocr_cost_per_page
    output_cost_per_audio_per_second output_cost_per_character output_cost_per_character_above_128k_tokens
    output_cost_per_image output_cost_per_image_0.5K output_cost_per_image_1024 output_cost_per_image_1536
    output_cost_per_image_1K output_cost_per_image_2K output_cost_per_image_4K output_cost_per_image_512
    output_cost_per_pixel output_cost_per_second output_cost_per_second_1080p output_cost_per_second_2k
    output_cost_per_second_480p output_cost_per_second_4k output_cost_per_second_720p output_cost_per_second_768p
    output_cost_per_video_per_second
    """.split()  # noqa: SIM905 - a paragraph of names
)

IGNORED: Mapping[str, str] = {
    "input_cost_per_token_cache_hit": f"give {CACHE_READ}",
    "explicit_cache_read_input_token_cost": f"give {CACHE_READ}",
    "cache_creation_input_audio_token_cost": f"give {CACHE_WRITE}",
    "cache_read_input_image_token_cost": f"give {CACHE_READ}",
    "input_cost_per_audio_token_priority": "give input_cost_per_audio_token",
    "input_cost_per_request": f"give {INPUT} and {OUTPUT}",
    "input_cost_per_text_message": f"give {INPUT} and {OUTPUT}",
    "input_dbu_cost_per_token": f"give {INPUT}, in US dollars",
    "output_dbu_cost_per_token": f"give {OUTPUT}, in US dollars",
    **dict.fromkeys(
        (
            "code_interpreter_cost_per_session",
            "computer_use_input_cost_per_1k_tokens",
            "computer_use_output_cost_per_1k_tokens",
            "file_search_cost_per_1k_calls",
            "file_search_cost_per_gb_per_day",
            "guardrail_cost_per_unit",
            "vector_store_cost_per_gb_per_day",
        ),
        "what it prices is not offered here",
    ),
}
"""With what to do instead."""

_THRESHOLD = r"_above_[0-9]+k?_tokens"
_STEPPED = re.compile(rf"({INPUT}|{OUTPUT}|{CACHE_READ}|{CACHE_WRITE}|{LONG_CACHE_WRITE}){_THRESHOLD}")
_STEPPED_TIER = re.compile(
    rf"(({INPUT}|{OUTPUT}|{CACHE_READ})_above_200k_tokens_priority"
    rf"|({INPUT}|{OUTPUT}|{CACHE_READ}|{CACHE_WRITE})_above_272k_tokens_(flex|priority|ultrafast))"
)
_PER_TOKEN = re.compile(
    rf"(({'|'.join((*PER_INPUT_TOKEN, *PER_OUTPUT_TOKEN))})({_THRESHOLD})?({'|'.join(ENDINGS)})?({_THRESHOLD})?)"
)


def is_price(name: str) -> bool:
    """Whether a key of `litellm_params` or `model_info` reads as a price, supported or not."""
    return "_cost" in name or "cost_" in name or name.endswith("_pricing")


def use_of(name: str) -> Use | None:
    """The use of a price of this name; None for a name that LiteLLM does not have."""
    if name in CHAT or _STEPPED.fullmatch(name) or _STEPPED_TIER.fullmatch(name):
        return "chat"
    if name in LITELLM_LANE:
        return "litellm"
    if name in OTHER_ENDPOINTS:
        return "other"
    if name in IGNORED or name.endswith("_decisions"):
        return "ignored"
    base = name.removesuffix("_batches")
    is_batch = base != name and (use_of(base) in ("chat", "other"))
    return "unused" if is_batch else None


def is_per_token(name: str) -> bool:
    """Whether a price is for one token, of whatever kind, length and service tier."""
    return _PER_TOKEN.fullmatch(name.removesuffix("_batches")) is not None


def known_names() -> frozenset[str]:
    """Names to suggest for an unknown one."""
    return CHAT | LITELLM_LANE | OTHER_ENDPOINTS
