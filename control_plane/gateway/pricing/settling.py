"""Usage and cost of an answer: the provider's report, checked, and our count for missing parts."""

from collections.abc import Sequence

from control_plane.chat import ChatRequest
from control_plane.completion.events import (
    Audio,
    Content,
    Reasoning,
    Refusal,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from control_plane.completion.usage import Usage
from control_plane.gateway.pricing import prices
from control_plane.gateway.pricing.prices import PriceTag
from control_plane.gateway.reading.usage import ReportedUsage
from control_plane.units import NanoUsd


def text_of(event: Content) -> str:
    """The text of an event that costs tokens."""
    match event:
        case Text() | Reasoning() | Refusal() | ToolCallArguments():
            return event.text
        case ToolCallBegun():
            return event.name
        case Audio():
            return event.transcript
        case _:
            return ""


async def settle(
    tag: PriceTag, request: ChatRequest, reported: ReportedUsage, events: Sequence[Content], *, is_whole: bool
) -> tuple[Usage, NanoUsd | None]:
    """Usage and cost of an answer of these events; the cost is None when the price is unknown.

    A side that the provider did not count is counted here, and so is the output of an answer that was cut off, of which
    providers report only part.
    """
    prompt_tokens = reported.prompt_tokens()
    completion_tokens = reported.completion_tokens(has_content=any(map(text_of, events)))
    is_estimated = prompt_tokens is None or completion_tokens is None
    if is_estimated or not is_whole:
        ours = await prices.estimate(tag, request, [text_of(event) for event in events])
        if prompt_tokens is None:
            prompt_tokens = ours.prompt_tokens
        if completion_tokens is None or (not is_whole and completion_tokens < ours.completion_tokens):
            completion_tokens, is_estimated = ours.completion_tokens, True
    assert prompt_tokens is not None, "counted above"
    assert completion_tokens is not None, "counted above"
    if reported.service_tier is None:
        asked = request.parameters.get("service_tier")
        reported.take_tier(None if asked == "auto" else asked)
    usage = reported.usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, is_estimated=is_estimated)
    return usage, price(tag, usage, reported, is_whole=is_whole)


def price(tag: PriceTag, usage: Usage, reported: ReportedUsage, *, is_whole: bool) -> NanoUsd | None:
    """The price of a usage: the provider's own charge for a whole answer, else by the price list."""
    said = said_cost(tag, reported) if is_whole else None
    return prices.cost_of(tag, usage) if said is None else said


def said_cost(tag: PriceTag, reported: ReportedUsage) -> NanoUsd | None:
    """OpenRouter's own charge, 0 too; None for other providers, whose field is not known to be their price."""
    if tag.provider != "openrouter" or reported.cost is None:
        return None
    return prices.money(reported.cost)
