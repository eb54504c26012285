"""The end of a tool call's arguments is found in one pass, however a provider cuts them."""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from types import FrameType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.wires.calls_in_order import CallsInOrder
from control_plane.api.wires.respond.request import conversation
from control_plane.api.wires.respond.schema import AssistantSaid, ToolSaid
from control_plane.completion.events import ToolCallArguments, ToolCallBegun
from control_plane.completion.json_end import JsonEnd
from control_plane.gateway.dialects import Dialect
from control_plane.gateway.history import prepare_messages
from control_plane.gateway.reading.json_text import Halves
from control_plane.gateway.reading.tool_calls import ToolCallReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\{}[] ,:', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='ab"\\{}', max_size=4), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON) | st.lists(JSON), st.lists(st.integers(0, 200), max_size=8))
def test_an_object_ends_with_its_last_sign_and_not_before(value: Any, cuts: list[int]) -> None:
    text = json.dumps(value)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    end = JsonEnd()
    reached = []
    for begin, stop in pairwise(places):
        end.take(text[begin:stop])
        reached.append(end.is_reached)
    assert reached == [False] * (len(reached) - 1) + [True]
    end.take(" \n")
    assert end.is_reached
    end.take("x")
    assert not end.is_reached


def calls_made_by(work: Callable[[], object]) -> int:
    """Calls of functions, which do not depend on the machine."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def read_pieces_that_all_end_in_a_brace(pieces: int) -> None:
    reader = ToolCallReader(0, ("find",), Halves())
    for _ in range(pieces):
        reader.take({"index": 0, "id": "a", "function": {"name": "find", "arguments": '{"a": {}'}})
        reader.take({"index": 0, "function": {"name": "find", "arguments": "}"}})


def order_pieces_that_all_end_in_a_brace(pieces: int) -> None:
    order = CallsInOrder()
    order.take(ToolCallBegun(0, "a", "find", "function", None, 0))
    order.take(ToolCallBegun(1, "b", "find", "function", None, 0))
    for _ in range(pieces):
        order.take(ToolCallArguments(0, '{"a": {}', 0))


def respond_to_results_without_calls(results: int) -> None:
    said = [ToolSaid(role="tool", tool_call_id=f"call-{number}", content="ok") for number in range(results)]
    conversation(said, recall=lambda _id: None, tools=("find",))


def respond_to_assistants_in_a_row(messages: int) -> None:
    said = [AssistantSaid(role="assistant", content="ok", reasoning_content=f"{each}") for each in range(messages)]
    conversation(said, recall=lambda _id: None, tools=())


def prepare_assistants_in_a_row(messages: int) -> None:
    divided = [
        {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "signature": "s"}]}
        for _ in range(messages)
    ]
    prepare_messages(divided, Dialect())


def prepare_calls_with_results(messages: int) -> None:
    call: Any = {"id": "a", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    turns: Iterator[list[dict[str, Any]]] = (
        [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a"}]
        for _ in range(messages)
    )
    prepare_messages(list(chain.from_iterable(turns)), Dialect())


def test_a_conversation_twice_as_long_is_twice_the_work() -> None:
    """588 KB of tool results from a publishable key held the process for 7.6 s."""
    for work in (
        read_pieces_that_all_end_in_a_brace,
        order_pieces_that_all_end_in_a_brace,
        respond_to_results_without_calls,
        respond_to_assistants_in_a_row,
        prepare_assistants_in_a_row,
        prepare_calls_with_results,
    ):
        work(10)
        once, twice = calls_made_by(lambda: work(200)), calls_made_by(lambda: work(400))  # noqa: B023 - called at once
        assert twice < 2.2 * once, work.__name__
