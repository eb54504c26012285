"""What an answer used is what its provider counted, by kind, and it costs what the list says; nonsense is counted here."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import litellm
import pytest
import pytest_asyncio

from control_plane.completion.usage import Usage
from control_plane.gateway.pricing.prices import money
from control_plane.gateway.shutdown import last_reports
from tests.gateway.native_answers import WIRES, Said, Wire
from tests.gateway.native_gateways import Native
from tests.gateway.native_provider import JSON, NativeProvider, Reply, sse

ALL = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])

HI = Said(("Hello there, this is some text",))

PRICED = {
    "anthropic": "claude-sonnet-4-5-20250929",
    "invoke": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "gemini": "gemini/gemini-2.5-flash",
    "converse": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-r-08-2024",
    "responses": "gpt-5.1",
    "azure": "azure/gpt-4o",
}
"""The names of the models in the price list."""

USED = {
    "anthropic": Usage(425, 15, cached_tokens=100, cache_write_tokens=300, cache_write_1h_tokens=200),
    "invoke": Usage(425, 15, cached_tokens=100, cache_write_tokens=300, cache_write_1h_tokens=200),
    "gemini": Usage(20, 17, cached_tokens=8, reasoning_tokens=7),
    "converse": Usage(120, 9, cached_tokens=60, cache_write_tokens=40, cache_write_1h_tokens=30),
    "ollama": Usage(26, 12),
    "cohere": Usage(71, 8),
    "responses": Usage(30, 12, cached_tokens=10, reasoning_tokens=5),
    "azure": Usage(19, 7, cached_tokens=4),
}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def native() -> AsyncIterator[Native]:
    async with NativeProvider.start() as provider, Native.over(provider) as opened:
        yield opened


def reply_of(wire: Wire, said: Said, *, is_stream: bool) -> Reply:
    return wire.stream(said) if is_stream else wire.whole(said)


def listed(name: str, usage: Usage) -> int:
    """By the price list, kind by kind."""
    price = litellm.model_cost[PRICED[name]]
    cached = price.get("cache_read_input_token_cost") or price["input_cost_per_token"]
    total = usage.fresh_tokens * price["input_cost_per_token"] + usage.cached_tokens * cached
    written = usage.cache_write_tokens - usage.cache_write_1h_tokens
    if usage.cache_write_tokens:
        hour = price.get("cache_creation_input_token_cost_above_1hr", price["cache_creation_input_token_cost"])
        total += written * price["cache_creation_input_token_cost"] + usage.cache_write_1h_tokens * hour
    return money(total + usage.completion_tokens * price["output_cost_per_token"])


@ALL
@EITHER
async def test_usage_is_the_providers_by_kind_and_costs_the_list_price(
    native: Native, wire: Wire, *, is_stream: bool
) -> None:
    outcome = await native.get(wire, reply_of(wire, HI, is_stream=is_stream), is_stream=is_stream)
    assert outcome.usage == USED[wire.name]
    assert outcome.cost == (listed(wire.name, outcome.usage) if wire.name in PRICED else None)


@pytest.mark.parametrize("name", ["anthropic", "gemini", "converse", "cohere", "responses", "azure"])
@EITHER
async def test_litellms_report_says_the_same(native: Native, name: str, *, is_stream: bool) -> None:
    wire = WIRES[name]
    native.reports.clear()
    outcome = await native.get(wire, reply_of(wire, HI, is_stream=is_stream), is_stream=is_stream)
    await last_reports()
    (report,) = native.reports
    assert report.prompt_tokens == outcome.usage.prompt_tokens
    assert report.completion_tokens == outcome.usage.completion_tokens
    assert report.cost == outcome.cost


RENAMED = {
    "anthropic": {"model": "claude-sonnet-4-5-20261101"},
    "invoke": {"model": "claude-sonnet-4-5-20261101"},
    "gemini": {"modelVersion": "gemini-2.5-flash-preview-11-2026"},
    "responses": {"model": "gpt-5.1-2027-01-01"},
}


@pytest.mark.parametrize("name", RENAMED)
@EITHER
async def test_an_answer_under_another_name_costs_the_price_of_the_model_that_was_asked_for(
    native: Native, name: str, *, is_stream: bool
) -> None:
    wire = WIRES[name]
    native.reports.clear()
    renamed = replace(HI, more=RENAMED[name])
    outcome = await native.get(wire, reply_of(wire, renamed, is_stream=is_stream), is_stream=is_stream)
    assert outcome.cost == listed(name, USED[name])
    await last_reports()
    if name != "invoke":  # of which LiteLLM itself knows no price
        assert [report.cost for report in native.reports] == [outcome.cost]


async def test_the_input_is_known_with_the_first_event(native: Native) -> None:
    for name in ("anthropic", "invoke"):
        outcome = await native.get(WIRES[name], WIRES[name].stream(HI), is_stream=True)
        assert outcome.input_usage == replace(USED[name], completion_tokens=0)


KINDS: dict[str, tuple[str, dict[str, Any], Usage]] = {
    "thinking of Anthropic's": (
        "anthropic",
        {"input_tokens": 10, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 40}},
        Usage(10, 50, reasoning_tokens=40),
    ),
    "cache writes of five minutes": (
        "anthropic",
        {"input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 0, "output_tokens": 5},
        Usage(40, 5, cache_write_tokens=30),
    ),
    "modalities": (
        "gemini",
        {
            "promptTokenCount": 20,
            "candidatesTokenCount": 10,
            "totalTokenCount": 30,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 12},
                {"modality": "AUDIO", "tokenCount": 5},
                {"modality": "IMAGE", "tokenCount": 3},
            ],
            "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 6}, {"modality": "IMAGE", "tokenCount": 4}],
        },
        Usage(20, 10, audio_input_tokens=5, image_input_tokens=3, image_output_tokens=4),
    ),
    "thoughts that the answer's count holds": (
        "gemini",
        {"promptTokenCount": 20, "candidatesTokenCount": 17, "thoughtsTokenCount": 7, "totalTokenCount": 37},
        Usage(20, 17, reasoning_tokens=7),
    ),
    "what tools of Google's read": (
        "gemini",
        {"promptTokenCount": 20, "toolUsePromptTokenCount": 30, "candidatesTokenCount": 5, "totalTokenCount": 55},
        Usage(50, 5),
    ),
    "only what Cohere bills": (
        "cohere",
        {"billed_units": {"input_tokens": 5, "output_tokens": 6}},
        Usage(5, 6),
    ),
}


@pytest.mark.parametrize(("name", "reported", "expected"), KINDS.values(), ids=KINDS)
@EITHER
async def test_every_kind_of_token_is_counted(
    native: Native, name: str, reported: dict[str, Any], expected: Usage, *, is_stream: bool
) -> None:
    wire = WIRES[name]
    reply = reply_of(wire, replace(HI, usage=reported), is_stream=is_stream)
    outcome = await native.get(wire, reply, is_stream=is_stream)
    assert outcome.usage == expected


def mapped(value: Any, change: Callable[[int], Any]) -> Any:
    match value:
        case dict():
            return {key: mapped(item, change) for key, item in value.items()}
        case list():
            return [mapped(item, change) for item in value]
        case int():
            return change(value)
        case _:
            return value


ABSURD: dict[str, Callable[[int], Any]] = {
    "null": lambda _: None,
    "words": lambda _: "many",
    "negative": lambda count: -count,
    "fractions": lambda count: count + 0.5,
    "more than there is": lambda count: count * 10**30,
    "zeros": lambda _: 0,
    "truth": lambda _: True,
    "lists": lambda count: [count],
    "objects": lambda count: {"count": count},
}


@ALL
@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD)
@EITHER
async def test_counts_that_cannot_be_true_are_counted_here(
    native: Native, wire: Wire, change: Callable[[int], Any], *, is_stream: bool
) -> None:
    said = replace(HI, usage=mapped(wire.usage, change))
    outcome = await native.get(wire, reply_of(wire, said, is_stream=is_stream), is_stream=is_stream)
    assert outcome.failure is None
    assert outcome.usage == Usage(outcome.usage.prompt_tokens, outcome.usage.completion_tokens, is_estimated=True)
    assert 0 < outcome.usage.prompt_tokens < 100
    assert 0 < outcome.usage.completion_tokens < 100
    assert outcome.cost or wire.name not in PRICED


@ALL
@pytest.mark.parametrize("usage", [[1], "much", -7, {}], ids=str)
@EITHER
async def test_usage_that_is_none_is_counted_here(native: Native, wire: Wire, usage: Any, *, is_stream: bool) -> None:
    reply = reply_of(wire, replace(HI, usage=usage), is_stream=is_stream)
    outcome = await native.get(wire, reply, is_stream=is_stream)
    assert outcome.failure is None
    assert outcome.usage.is_estimated


async def test_counts_written_as_text_count(native: Native) -> None:
    for wire in WIRES.values():
        said = replace(HI, usage=mapped(wire.usage, str))
        for is_stream in (False, True):
            outcome = await native.get(wire, reply_of(wire, said, is_stream=is_stream), is_stream=is_stream)
            assert outcome.usage == USED[wire.name]


async def test_anthropics_later_counts_complete_the_first(native: Native) -> None:
    wire: Any = WIRES["anthropic"]
    first = {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 1}
    start, *middle, end, stop = wire.events(replace(HI, usage=first))
    end = {**end, "usage": {"input_tokens": 300, "output_tokens": 9}}
    outcome = await native.get(wire, Reply([sse(start, *middle, end, stop)]), is_stream=True)
    assert outcome.usage == Usage(400, 9, cached_tokens=100)


async def test_an_answer_that_names_no_usage_is_counted_here(native: Native) -> None:
    wire = WIRES["anthropic"]
    message = (
        b'{"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [{"type": "text", "text": "Hi"}]'
    )
    reply = Reply([message + b', "stop_reason": "end_turn"}'], JSON)
    outcome = await native.get(wire, reply, is_stream=False)
    assert outcome.usage.is_estimated
    assert outcome.cost
