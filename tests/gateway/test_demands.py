"""What is held for a call: never less than it can use, but for text denser than two bytes a token."""

from typing import Any

import pytest

from control_plane.chat import ChatRequest, Rate
from control_plane.gateway.demands import TOKENS_PER_FILE, TOKENS_PER_MESSAGE, dearest, demand

RATE = Rate(input=10, output=20, max_output_tokens=4096)
TWO_MESSAGES = 2 * TOKENS_PER_MESSAGE
"""What one message takes, and the beginning of the answer."""


def prompt(content: Any, **more: Any) -> int:
    return demand(ChatRequest([{"role": "user", "content": content, **more}]), RATE).prompt_tokens


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("", 0),
        ("Hello!", 3),
        ("ä" * 10, 10),
        ("漢字", 3),
        ([{"type": "text", "text": "Hello!"}], 3),
        (
            [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "x" * 9999}}],
            1 + TOKENS_PER_FILE,
        ),
        (None, 0),
    ],
)
def test_a_prompt_counts_its_bytes_and_its_files(content: Any, tokens: int) -> None:
    assert prompt(content) == TWO_MESSAGES + tokens


def test_tools_and_tool_calls_count_too() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "find", "arguments": "x" * 1000}}]
    assert prompt(None, tool_calls=calls) > 500
    request = ChatRequest(
        [], {"tools": [{"type": "function", "function": {"name": "find", "description": "y" * 1000}}]}
    )
    assert demand(request, RATE).prompt_tokens > 500


def test_an_answer_is_as_long_as_asked_for_or_as_the_model_can() -> None:
    assert demand(ChatRequest([]), RATE).max_tokens == 4096
    assert demand(ChatRequest([], {"max_tokens": 7}), RATE).max_tokens == 7


def test_a_group_costs_what_its_dearest_model_does_each_way() -> None:
    cheap_in = Rate(input=1, output=50, max_output_tokens=10)
    assert dearest([RATE, cheap_in]) == Rate(input=10, output=50, max_output_tokens=4096)
    assert not dearest([RATE, Rate(is_known=False)]).is_known
