"""Clients get tool calls one behind the other, however a provider mixes their pieces, and always as objects where they parse."""

import json

import pytest

from control_plane.api.wires.anthropic.arguments import ObjectArguments, input_of
from control_plane.api.wires.calls_in_order import CallsInOrder
from control_plane.completion.events import Content, Text, ToolCallArguments, ToolCallBegun, ToolCallEnded

A, B = ToolCallBegun(0, "call_a", "look"), ToolCallBegun(1, "call_b", "look")
A_ENDED, B_ENDED = ToolCallEnded(0), ToolCallEnded(1)


def a(text: str) -> ToolCallArguments:
    return ToolCallArguments(0, text)


def b(text: str) -> ToolCallArguments:
    return ToolCallArguments(1, text)


ORDERS: dict[str, tuple[list[Content], list[Content]]] = {
    "one behind the other": (
        [A, a('{"x":'), a("1}"), B, b("{}"), A_ENDED, B_ENDED],
        [A, a('{"x":'), a("1}"), A_ENDED, B, b("{}"), B_ENDED],
    ),
    "in turns": (
        [A, B, a("{"), b("{"), a("}"), b("}"), A_ENDED, B_ENDED],
        [A, a("{"), a("}"), A_ENDED, B, b("{"), b("}"), B_ENDED],
    ),
    "no arguments until the end": (
        [A, B, b("{}"), a("{}"), A_ENDED, B_ENDED],
        [A, a("{}"), A_ENDED, B, b("{}"), B_ENDED],
    ),
    "arguments that are never whole": (
        [A, a("{'x'"), B, b("{}"), a("}"), A_ENDED, B_ENDED],
        [A, a("{'x'"), a("}"), A_ENDED, B, b("{}"), B_ENDED],
    ),
    "free text": (
        [ToolCallBegun(0, "call_a", "sh", "custom"), a("{}"), B, a("x"), b("{}"), A_ENDED, B_ENDED],
        [ToolCallBegun(0, "call_a", "sh", "custom"), a("{}"), a("x"), A_ENDED, B, b("{}"), B_ENDED],
    ),
    "text between the pieces": (
        [A, a("{"), Text("Hm."), a("}"), A_ENDED],
        [A, a("{"), a("}"), A_ENDED, Text("Hm.")],
    ),
    "an answer that breaks off": ([A, a("{"), B, b("{")], [A, a("{"), A_ENDED, B, b("{"), B_ENDED]),
}


@pytest.mark.parametrize("case", ORDERS)
def test_the_pieces_of_a_call_stand_together(case: str) -> None:
    given, expected = ORDERS[case]
    order = CallsInOrder()
    written = [event for content in given for event in order.take(content)]
    assert [*written, *order.end()] == expected


def test_a_call_that_comes_alone_is_written_as_it_comes() -> None:
    order = CallsInOrder()
    assert [list(order.take(event)) for event in (A, a("{"), a("}"), B)] == [[A], [a("{")], [a("}")], [A_ENDED, B]]


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', ' {\n "a": [1, {"b": "}"}]}', "{}", "", " ", "{'a': 1}", "a: 1", "[1]", "null", '"{}"', "{", "7"],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_arguments_in_pieces_are_the_object_of_the_whole_answer(text: str, size: int) -> None:
    arguments = ObjectArguments("function")
    pieces = [arguments.take(text[place : place + size]) for place in range(0, len(text), size)]
    written = "".join([*pieces, arguments.end()])
    assert json.loads(written or "{}") == input_of("function", text)


def test_an_object_is_written_before_its_end() -> None:
    arguments = ObjectArguments("function")
    assert [arguments.take(text) for text in ("{", '"path"', ': "x')] == ["", '{"path"', ': "x']
