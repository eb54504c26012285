"""Every form in which clients go on after tool calls becomes the one that providers take."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from control_plane.api.wires.respond.request import Conversation, conversation
from control_plane.api.wires.respond.schema import GivenMessage
from control_plane.calls.tool_call_cache import RememberedToolCall

Json = dict[str, Any]

GIVEN = TypeAdapter(list[GivenMessage])

USER: Json = {"role": "user", "content": "Weather?"}
ARGUMENTS = {"location": "Paris"}
FLAT_1: Json = {"id": "call_1", "name": "get_weather", "arguments": ARGUMENTS}
FLAT_2: Json = {"id": "call_2", "name": "get_time", "arguments": {}}
NESTED_1: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"location":"Paris"}'},
}
NESTED_2: Json = {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
RESULT_1: Json = {"role": "tool", "tool_call_id": "call_1", "content": "72°F and sunny"}
RESULT_2: Json = {"role": "tool", "tool_call_id": "call_2", "content": "noon"}


def said(text: str, *calls: Json) -> Json:
    return {
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        **({"tool_calls": calls} if calls else {}),
    }


def calling(*calls: Json, content: str | None = None) -> Json:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def normalized(
    *messages: Json, tools: tuple[str, ...] = (), recall: dict[str, RememberedToolCall] | None = None
) -> Conversation:
    return conversation(GIVEN.validate_python(list(messages)), recall=(recall or {}).get, tools=tools)


CASES: dict[str, tuple[list[Json], list[Json]]] = {
    "the document's continuation": (
        [USER, calling(FLAT_1), RESULT_1, {"role": "user", "content": [{"type": "text", "text": "And then?"}]}],
        [USER, calling(NESTED_1), RESULT_1, {"role": "user", "content": "And then?"}],
    ),
    "content left out instead of null": (
        [USER, {"role": "assistant", "tool_calls": [FLAT_1]}, RESULT_1],
        [USER, calling(NESTED_1), RESULT_1],
    ),
    "the answer's message pushed back, then its call": (
        [USER, said("Let me look."), calling(FLAT_1), RESULT_1],
        [USER, calling(NESTED_1, content="Let me look."), RESULT_1],
    ),
    "the answer's empty message pushed back, then its call": (
        [USER, said(""), calling(FLAT_1), RESULT_1],
        [USER, calling(NESTED_1), RESULT_1],
    ),
    "two calls, each with its result, as the document's loop pushes them": (
        [USER, said(""), calling(FLAT_1), RESULT_1, calling(FLAT_2), RESULT_2],
        [USER, calling(NESTED_1), RESULT_1, calling(NESTED_2), RESULT_2],
    ),
    "a message for each call, then the results": (
        [USER, said(""), calling(FLAT_1), calling(FLAT_2), RESULT_1, RESULT_2],
        [USER, calling(NESTED_1, NESTED_2), RESULT_1, RESULT_2],
    ),
    "OpenAI's own form": (
        [USER, calling(NESTED_1, NESTED_2), RESULT_1, RESULT_2],
        [USER, calling(NESTED_1, NESTED_2), RESULT_1, RESULT_2],
    ),
    "arguments as the text they were passed on as": (
        [USER, calling({**FLAT_1, "arguments": '{"location": "Par'}), RESULT_1],
        [
            USER,
            calling({**NESTED_1, "function": {"name": "get_weather", "arguments": '{"location": "Par'}}),
            RESULT_1,
        ],
    ),
    "no arguments, as PHP writes them": (
        [USER, calling({**FLAT_2, "arguments": []}), RESULT_2],
        [USER, calling(NESTED_2), RESULT_2],
    ),
    "no arguments": (
        [USER, calling({"id": "call_2", "name": "get_time"}), RESULT_2],
        [USER, calling(NESTED_2), RESULT_2],
    ),
    "two assistant texts in a row": (
        [USER, said("One."), said("Two."), USER],
        [USER, {"role": "assistant", "content": "One.\nTwo."}, USER],
    ),
    "a result that is JSON": (
        [USER, calling(FLAT_1), {**RESULT_1, "content": {"celsius": 22, "sky": ["sunny", "blü"]}}],
        [USER, calling(NESTED_1), {**RESULT_1, "content": '{"celsius":22,"sky":["sunny","blü"]}'}],
    ),
    "a result of text parts": (
        [USER, calling(FLAT_1), {**RESULT_1, "content": [{"type": "text", "text": "72°F"}]}],
        [USER, calling(NESTED_1), {**RESULT_1, "content": "72°F"}],
    ),
    "a tool that returned nothing": (
        [USER, calling(FLAT_1), {"role": "tool", "tool_call_id": "call_1"}],
        [USER, calling(NESTED_1), {**RESULT_1, "content": ""}],
    ),
    "an empty list of calls": (
        [USER, {"role": "assistant", "content": "Hi", "tool_calls": []}, USER],
        [USER, {"role": "assistant", "content": "Hi"}, USER],
    ),
    "parts of several kinds": (
        [{"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "text", "text": "this"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "text", "text": "this"}]}],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_conversation_is_brought_into_the_form_of_providers(case: str) -> None:
    given, expected = CASES[case]
    made = normalized(*given, tools=("get_weather", "get_time"))
    assert made.messages == expected
    assert made.warnings == []
    assert normalized(*made.messages).messages == expected, "what was brought into form stays as it is"


REPAIRED: dict[str, tuple[list[Json], list[Json]]] = {
    "only the results were sent": ([USER, RESULT_1], [USER, calling(NESTED_1), RESULT_1]),
    "both results were sent": ([USER, RESULT_1, RESULT_2], [USER, calling(NESTED_1, NESTED_2), RESULT_1, RESULT_2]),
    "the message without its calls": (
        [USER, said("Let me look."), RESULT_1],
        [USER, calling(NESTED_1, content="Let me look."), RESULT_1],
    ),
    "one of two calls is missing": (
        [USER, calling(FLAT_1), RESULT_1, RESULT_2],
        [USER, calling(NESTED_1, NESTED_2), RESULT_1, RESULT_2],
    ),
    "two rounds": (
        [USER, RESULT_1, USER, RESULT_2],
        [USER, calling(NESTED_1), RESULT_1, USER, calling(NESTED_2), RESULT_2],
    ),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_a_call_that_was_left_out_is_put_back_and_said(case: str) -> None:
    given, expected = REPAIRED[case]
    remembered = {
        "call_1": RememberedToolCall("get_weather", '{"location":"Paris"}'),
        "call_2": RememberedToolCall("get_time", "{}"),
    }
    made = normalized(*given, recall=remembered)
    assert made.messages == expected
    assert made.warnings
    assert all("no assistant message calls 'call_" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("result", "tools", "name"),
    [
        (RESULT_1, ("get_weather",), "get_weather"),
        (RESULT_1, ("get_weather", "get_time"), "unknown_tool"),
        (RESULT_1, (), "unknown_tool"),
        ({**RESULT_1, "name": "get_time"}, ("get_weather",), "get_time"),
    ],
)
def test_a_call_nobody_remembers_is_put_back_as_far_as_it_is_known(
    result: Json, tools: tuple[str, ...], name: str
) -> None:
    made = normalized(USER, result, tools=tools)
    (call,) = made.messages[1]["tool_calls"]
    assert call == {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    assert "arguments unknown" in made.warnings[0]


SIGNED: Json = {"type": "thinking", "thinking": "Let me look.", "signature": "c2ln"}


def test_an_answers_reasoning_goes_back_with_it() -> None:
    answer = {**said("Let me look."), "reasoning_content": "Hm.", "thinking_blocks": [SIGNED]}
    repeated = {
        **calling({**FLAT_1, "extra_content": {"google": {"thought_signature": "Z2Vt"}}}),
        "reasoning_content": "Hm.",
    }
    made = normalized(USER, answer, repeated, RESULT_1)
    assert made.messages[1] == {
        "role": "assistant",
        "content": "Let me look.",
        "reasoning_content": "Hm.",
        "thinking_blocks": [SIGNED],
        "tool_calls": [{**NESTED_1, "extra_content": {"google": {"thought_signature": "Z2Vt"}}}],
    }


def test_reasonings_of_two_answers_in_a_row_are_joined() -> None:
    first, second = (
        {**said(text), "reasoning": text, "reasoning_details": [{"text": text}]} for text in ("One", "Two")
    )
    (_, message) = normalized(USER, first, second).messages
    assert message["reasoning"] == "One\nTwo"
    assert message["reasoning_details"] == [{"text": "One"}, {"text": "Two"}]


def test_an_answer_that_was_only_reasoning_is_accepted() -> None:
    (_, message) = normalized(USER, {"role": "assistant", "content": None, "reasoning_content": "Hm."}).messages
    assert message == {"role": "assistant", "content": "", "reasoning_content": "Hm."}


@pytest.mark.parametrize("arguments", ["", " ", None, [], {}])
def test_arguments_that_are_nothing_are_an_empty_object(arguments: Any) -> None:
    (_, message, _) = normalized(USER, calling({**FLAT_2, "arguments": arguments}), RESULT_2).messages
    assert message["tool_calls"] == [NESTED_2]
