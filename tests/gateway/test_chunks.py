"""Providers have many words for an end; clients branch on four."""

from types import SimpleNamespace

import pytest

from control_plane.completion.usage import Usage
from control_plane.gateway.chunks import finish_reason, texts_of, usage_of


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("tool_use", "tool_calls"),
        ("something new", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons_are_put_into_four_words(said: str | None, expected: str) -> None:
    assert finish_reason(said, has_tool_calls=False) == expected


def test_an_end_after_tool_calls_says_so() -> None:
    assert finish_reason("stop", has_tool_calls=True) == "tool_calls"
    assert finish_reason(None, has_tool_calls=True) == "tool_calls"
    assert finish_reason("length", has_tool_calls=True) == "length"


def test_zeros_are_no_usage() -> None:
    assert usage_of(None) is None
    assert usage_of(SimpleNamespace(prompt_tokens=0, completion_tokens=None)) is None
    assert usage_of(SimpleNamespace(prompt_tokens=3, completion_tokens=0)) == Usage(3, 0)


def test_tool_calls_are_paid_for_by_name_and_arguments() -> None:
    calls = [
        {"function": {"name": "get", "arguments": "{}"}},
        {"function": {"arguments": "x"}},
        {"custom": {"name": "c", "input": "y"}},
        {},
    ]
    assert texts_of(calls) == ["get", "{}", "x", "c", "y"]
