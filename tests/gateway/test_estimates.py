"""What is held for a call: never less than it can use, whatever stands in it and wherever."""

import base64
from typing import Any

import pytest

from control_plane.chat import ChatRequest, EndpointRequest, Rate
from control_plane.gateway.estimates import TOKENS_FOR_TOOLS, TOKENS_PER_MESSAGE, dearest, estimate_usage
from control_plane.gateway.file_tokens import TOKENS_PER_FILE, TOKENS_PER_IMAGE
from control_plane.gateway.pricing.rates import at_tier

RATE = Rate(input=10, output=20, max_output_tokens=4096)
TWO_MESSAGES = 2 * TOKENS_PER_MESSAGE
"""What one message takes, and the beginning of the answer."""
LONG = "Y" * 1000


def prompt(content: Any, **more: Any) -> int:
    return estimate_usage(ChatRequest([{"role": "user", "content": content, **more}]), RATE).prompt_tokens


def asking(**parameters: Any) -> int:
    return estimate_usage(ChatRequest([], parameters), RATE).prompt_tokens


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("", 0),
        ("Hello!", 3),
        ("ä" * 10, 10),
        ("漢字", 3),
        ("\ud800", 1),
        ([{"type": "text", "text": "Hello!"}], 3),
        (
            [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}],
            1 + TOKENS_PER_FILE,
        ),
        (None, 0),
    ],
)
def test_a_prompt_counts_its_bytes_and_its_files(content: Any, tokens: int) -> None:
    assert prompt(content) == TWO_MESSAGES + tokens


@pytest.mark.parametrize(
    "field",
    [
        {"name": LONG},
        {"refusal": LONG},
        {"reasoning_content": LONG},
        {"thinking_blocks": [{"type": "thinking", "thinking": LONG, "signature": "s"}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": LONG}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": LONG}]},
        {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "find", "arguments": LONG}}]},
        {"tool_call_id": LONG},
        {"provider_specific_fields": {"a": {"b": [LONG]}}},
        {"a_field_of_next_year": LONG},
    ],
)
def test_every_field_of_a_message_counts(field: dict[str, Any]) -> None:
    assert prompt("Hi", **field) >= 1000
    assert prompt(None, **field) >= 1000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "refusal", "refusal": LONG},
        {"type": "thinking", "thinking": LONG, "signature": ""},
        {"type": "text", "text": "Hi", "cache_control": {"type": LONG}},
        {"type": "file", "file": {"filename": LONG, "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": LONG}},
        {"type": "of next year", "words": [LONG]},
        LONG,
    ],
)
def test_every_text_in_a_part_of_a_message_counts(part: Any) -> None:
    assert prompt([part]) >= 1000


@pytest.mark.parametrize(
    "parameters",
    [
        {"tools": [{"type": "function", "function": {"name": "find", "description": LONG}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {LONG: {}}}}}]},
        {"tools": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{LONG}"}}]},
        {"tool_choice": {"type": "function", "function": {"name": LONG}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [LONG]}}}},
        {"stop": [LONG]},
        {"logit_bias": {str(number): -100 for number in range(300)}},
        {"prediction": {"type": "content", "content": LONG}},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": LONG}]}},
    ],
)
def test_every_parameter_counts(parameters: dict[str, Any]) -> None:
    assert asking(**parameters) >= 1000


def test_tools_are_counted_in_bytes_not_in_characters() -> None:
    tools = [{"type": "function", "function": {"name": "find", "description": "漢" * 1000}}]
    assert asking(tools=tools) >= 3000 + TOKENS_FOR_TOOLS


def test_what_references_of_a_schema_stand_for_is_counted_as_often_as_it_is_sent() -> None:
    """A schema of 32 KB was sent as 3 MB, and the team of 10 credits had -64."""
    text = {"type": "string", "description": LONG}
    for definitions in ({"a": text}, {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"items": text}]}}):
        schema = {"anyOf": [{"$ref": "#/$defs/a"}] * 100, "$defs": definitions}
        tools = [{"type": "function", "function": {"name": "find", "parameters": schema}}]
        assert asking(tools=tools) >= 100 * 1000


def test_what_a_prediction_gets_wrong_is_charged_as_an_answer() -> None:
    plain = estimate_usage(ChatRequest([], {"max_tokens": 10}), RATE)
    predicted = estimate_usage(
        ChatRequest([], {"max_tokens": 10, "prediction": {"type": "content", "content": LONG}}), RATE
    )
    assert predicted.tokens - predicted.prompt_tokens >= plain.tokens - plain.prompt_tokens + 1000


def test_a_nested_value_is_counted_however_deep_it_is() -> None:
    value: Any = LONG
    for _ in range(20_000):
        value = [value]
    assert prompt("Hi", extra=value) >= 1000


def sound(size: int, *, begins: bytes = b"") -> dict[str, Any]:
    data = base64.b64encode(begins + bytes(size)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def test_a_sound_is_counted_by_its_size() -> None:
    minutes = 10
    telephone = 8_000 * 60 * minutes  # bytes of the plainest WAV there is
    assert prompt([sound(telephone, begins=b"RIFF")]) >= 32 * 60 * minutes  # the most tokens a second that are counted
    mp3 = 1_000 * 60 * minutes  # at 8 kbit a second
    assert prompt([sound(mp3)]) >= 32 * 60 * minutes
    assert prompt([sound(10)]) >= TOKENS_PER_FILE


def test_a_file_whose_data_is_there_is_counted_by_what_it_can_be() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 8_000}"}}
    assert prompt([image]) == TWO_MESSAGES + TOKENS_PER_IMAGE
    large = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 100_000_000}"}}
    assert 48_000 <= prompt([large]) < 60_000
    text = base64.b64encode(b"word " * 10_000).decode()
    file = {"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{text}"}}
    assert prompt([file]) >= 50_000
    assert prompt([{"type": "file", "file": {"file_id": "file-1"}}]) >= TOKENS_PER_FILE


def test_an_answer_that_was_spoken_before_is_read_again() -> None:
    said = {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    assert estimate_usage(ChatRequest([said]), RATE).prompt_tokens >= RATE.max_output_tokens


def test_an_answer_is_as_long_as_asked_for_or_as_the_model_can() -> None:
    assert estimate_usage(ChatRequest([]), RATE).max_tokens == 4096
    assert estimate_usage(ChatRequest([], {"max_tokens": 7}), RATE).max_tokens == 7
    thinking = {"type": "enabled", "budget_tokens": 10_000}
    assert estimate_usage(ChatRequest([], {"thinking": thinking}), RATE).max_tokens == 10_000 + 4096
    assert estimate_usage(ChatRequest([], {"thinking": thinking, "max_tokens": 7}), RATE).max_tokens == 7


def test_answers_are_as_many_as_asked_for_or_as_the_yaml_asks_for() -> None:
    assert estimate_usage(ChatRequest([], {"n": 3}), RATE).answers == 3
    assert estimate_usage(ChatRequest([]), Rate(answers=4)).answers == 4


def test_a_group_costs_what_its_dearest_model_does_each_way() -> None:
    cheap_in = Rate(input=1, output=50, max_output_tokens=10)
    assert dearest([RATE, cheap_in]) == Rate(input=10, output=50, max_output_tokens=4096)
    assert not dearest([RATE, Rate(is_known=False)]).is_known
    assert dearest([Rate(call=5, file=1), Rate(call=1, file=6)]) == Rate(call=5, file=6)


def test_a_service_tier_costs_what_it_costs_and_never_less_than_the_standard_one() -> None:
    rate = Rate(input=1, output=4, tiers={"flex": Rate(output=2), "priority": Rate(input=3, output=8)})
    outputs = {
        tier: at_tier(rate, tier).output for tier in (None, "auto", "default", "flex", "priority", "FAST", "odd")
    }
    assert outputs == {None: 8, "auto": 8, "default": 4, "flex": 4, "priority": 8, "FAST": 8, "odd": 8}
    assert at_tier(rate, "priority").input == 3
    of_two = dearest([Rate(output=5), rate])
    assert at_tier(of_two, "priority").output == 8
    assert at_tier(of_two, "default").output == 5


def test_a_lost_call_is_billed_as_plain_text_not_as_the_dearest_token() -> None:
    rate = Rate(input=40_000_000_000, expected_input=2_500_000_000)
    lost = estimate_usage(ChatRequest([{"role": "user", "content": "x" * 4000}]), rate)
    assert lost.expected_prompt_cost == lost.expected_prompt_tokens * 2_500


def test_endpoints_that_answer_at_once_count_the_bytes_of_their_texts() -> None:
    assert estimate_usage(EndpointRequest("embeddings", {}, texts=("漢" * 100,)), RATE).prompt_tokens >= 300
