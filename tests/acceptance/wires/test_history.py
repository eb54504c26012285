"""Every API accepts of an answer what it gave, and hands it on in one shape."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from control_plane.api.wires.anthropic.request import chat_request as from_anthropic
from control_plane.api.wires.anthropic.schema import MessagesBody
from control_plane.api.wires.chat_messages import chat_messages
from control_plane.api.wires.openai.chat.schema import ChatCompletionBody
from control_plane.api.wires.openai.responses.request import chat_request as from_responses
from control_plane.api.wires.openai.responses.schema import ResponsesBody
from control_plane.calls.rules import fill_in
from control_plane.chat import ChatRequest
from control_plane.gateway.dialects import dialect_of
from control_plane.gateway.history import prepare_messages
from control_plane.schemas.jobs import CallBody
from tests.support.provider import Provider
from tests.support.server import Team

Json = dict[str, Any]

USER: Json = {"role": "user", "content": "Weather?"}
SIGNED: Json = {"type": "thinking", "thinking": "Let me look.", "signature": "c2ln"}
SIGNED_2: Json = {"type": "thinking", "thinking": "And then?", "signature": "c2lnMg=="}
REDACTED: Json = {"type": "redacted_thinking", "data": "cmVk"}
CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
PNG = "iVBORw0KGgo="
PICTURE: Json = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


def chat(*messages: Any, **more: Any) -> ChatCompletionBody:
    return ChatCompletionBody.model_validate({"messages": list(messages), **more})


SENT_BACK: dict[str, Any] = {
    "reasoning_content": "Hm.",
    "reasoning": "Hm.",
    "thinking_blocks": [SIGNED, REDACTED],
    "reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1"}],
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.b"}}],
    "images": [PICTURE],
    "provider_specific_fields": {"thought_signatures": ["Z2Vt"]},
    "extra_content": {"google": {"thought_signature": "Z2Vt"}},
    "refusal": "No.",
    "audio": {"id": "audio_1"},
}


@pytest.mark.parametrize("name", SENT_BACK)
def test_what_an_answer_held_is_accepted_at_chat_and_in_jobs(name: str) -> None:
    answer = {"role": "assistant", "content": "Sunny.", name: SENT_BACK[name]}
    (read,) = chat_messages(chat(answer).messages)
    assert read == answer
    assert chat_messages(CallBody.model_validate({"messages": [answer]}).messages) == [answer]


@pytest.mark.parametrize("name", ["provider_specific_fields", "extra_content"])
def test_a_tool_call_keeps_its_signature(name: str) -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [{**CALL, name: {"thought_signature": "x"}}]}
    assert chat_messages(chat(answer).messages) == [answer]


def test_reasoning_counts_as_text_of_the_prompt() -> None:
    short, long = ({"role": "assistant", "content": "", "reasoning_content": "x" * length} for length in (1, 1001))
    assert chat(long).messages[0].text_length() - chat(short).messages[0].text_length() == 1000
    blocks = chat({"role": "assistant", "content": "", "thinking_blocks": [SIGNED]}).messages[0]
    assert blocks.text_length() == len(SIGNED["thinking"])


@pytest.mark.parametrize(
    "bad",
    [
        {"thinking_blocks": [{"type": "text"}]},
        {"thinking_blocks": [SIGNED] * 1001},
        {"reasoning_details": [{}] * 1001},
        {"reasoning_content": ["x"]},
        {"provider_specific_fields": "x"},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_history_is_bounded_and_has_a_form(bad: Json) -> None:
    with pytest.raises(ValidationError):
        chat({"role": "assistant", "content": "x", **bad})


LENIENT: dict[str, tuple[Json, Json]] = {
    "no arguments": ({"tool_calls": [{**CALL, "function": {"name": "look"}}]}, {"tool_calls": [CALL]}),
    "null arguments": (
        {"tool_calls": [{**CALL, "function": {"name": "look", "arguments": None}}]},
        {"tool_calls": [CALL]},
    ),
    "empty arguments": (
        {"tool_calls": [{**CALL, "function": {"name": "look", "arguments": ""}}]},
        {"tool_calls": [CALL]},
    ),
    "arguments as an object": (
        {"tool_calls": [{**CALL, "function": {"name": "look", "arguments": {"a": "é"}}}]},
        {"tool_calls": [{**CALL, "function": {"name": "look", "arguments": '{"a": "é"}'}}]},
    ),
    "empty lists": ({"content": [], "tool_calls": [CALL]}, {"content": None, "tool_calls": [CALL]}),
    "no calls": ({"content": "Hi", "tool_calls": []}, {"content": "Hi"}),
    "an index of a stream": ({"tool_calls": [{**CALL, "index": 0}]}, {"tool_calls": [CALL]}),
    "a refusal as a part": (
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"content": [{"type": "text", "text": "No."}]},
    ),
}


@pytest.mark.parametrize("case", LENIENT)
def test_an_answer_is_accepted_as_clients_keep_it(case: str) -> None:
    given, expected = LENIENT[case]
    (read,) = chat_messages(chat({"role": "assistant", **given}).messages)
    assert read == {"role": "assistant", **expected}


def test_a_tools_empty_result_is_an_empty_text() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    contents: list[Any] = [None, [], ""]
    for content in contents:
        talk = chat(USER, asked, {"role": "tool", "tool_call_id": "call_1", "content": content})
        prepared = prepare_messages(chat_messages(talk.messages), dialect_of("openai", "gpt-4o"))
        assert prepared[2] == {"role": "tool", "tool_call_id": "call_1", "content": ""}


def test_thinking_among_the_parts_of_a_content_keeps_its_order() -> None:
    parts = [SIGNED, {"type": "text", "text": "I look."}, SIGNED_2, REDACTED]
    assert chat_messages(chat({"role": "assistant", "content": parts, "tool_calls": [CALL]}).messages) == [
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}], "thinking_blocks": [SIGNED]},
        {"role": "assistant", "content": [], "thinking_blocks": [SIGNED_2, REDACTED], "tool_calls": [CALL]},
    ]
    with pytest.raises(ValidationError, match="only be an assistant's"):
        chat({"role": "user", "content": [SIGNED]})


def test_pictures_and_calls_of_custom_tools_are_accepted_at_responses() -> None:
    items: list[Json] = [
        {"role": "user", "content": "Draw, then list."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "shell", "input": "ls -l"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "a.txt"},
        {"type": "image_generation_call", "id": "ig_2", "status": "completed", "result": "https://a.example/b.png"},
    ]
    body = ResponsesBody.model_validate({"model": "ok", "input": items})
    call = {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": '{"input": "ls -l"}'}}
    linked: Json = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    assert from_responses(body).messages[1:] == [
        {"role": "assistant", "content": "Here.", "images": [PICTURE], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a.txt"},
        {"role": "assistant", "content": "", "images": [linked]},
    ]


FUNCTION: Json = {"name": "look", "parameters": {"type": "object"}}


def test_deprecated_functions_are_tools_with_ids() -> None:
    body = chat(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "look", "content": "sunny"},
        functions=[FUNCTION],
        function_call={"name": "look"},
    )
    _, asked, answered = chat_messages(body.messages)
    (call,) = asked["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": '{"a": 1}'}
    assert answered == {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
    assert "function_call" not in asked
    assert chat_messages(body.messages) == [USER, asked, answered]  # the same ids again: answers are kept by them
    assert body.given_parameters() == {
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
    }
    (again, alone) = chat_messages(chat({"role": "function", "name": "look", "content": "x"}).messages)
    assert again["tool_calls"][0]["id"] == alone["tool_call_id"]


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ({"effort": "xhigh"}, {"reasoning_effort": "xhigh"}),
        ({"max_tokens": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ({"enabled": False}, {"reasoning_effort": "none"}),
        ({"exclude": True}, {}),
    ],
)
def test_reasoning_is_asked_for_as_openrouter_has_it(reasoning: Json, expected: Json) -> None:
    assert chat(USER, reasoning=reasoning).given_parameters() == expected
    assert chat(USER, reasoning=reasoning, reasoning_effort="low").given_parameters() == {"reasoning_effort": "low"}


def test_pictures_may_be_asked_for_and_the_newer_name_of_max_tokens() -> None:
    body = chat(USER, modalities=["text", "image"], max_completion_tokens=9)
    assert body.given_parameters() == {"modalities": ["text", "image"], "max_tokens": 9}


def test_what_means_nothing_without_tools_is_left_out() -> None:
    """OpenAI answers 400 to `parallel_tool_calls` without tools."""
    parameters = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "seed": 1}
    filled = fill_in(ChatRequest([USER], parameters), {}, temperature=None)
    assert isinstance(filled, ChatRequest)
    assert filled.parameters == {"seed": 1}


@pytest.mark.parametrize("kind", ["custom", "web_search"])
def test_tools_that_cannot_be_served_are_refused_in_words(kind: str) -> None:
    for read, tool in (
        (lambda tools: chat(USER, tools=tools), {"type": kind, kind: {"name": "x"}}),
        (lambda tools: ResponsesBody.model_validate({"input": "x", "tools": tools}), {"type": kind, "name": "x"}),
    ):
        with pytest.raises(ValidationError, match="only functions are"):
            read([tool])


def responses(*items: Json, **more: Any) -> ChatRequest:
    return from_responses(ResponsesBody.model_validate({"input": list(items), **more}))


def reasoning(*texts: str, blocks: list[Json] | str | None = None) -> Json:
    encrypted = blocks if isinstance(blocks, str | None) else json.dumps(blocks)
    content = [{"type": "reasoning_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": content, "encrypted_content": encrypted}


def called(call_id: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}"}


def put_out(call_id: str, output: Any = "sunny") -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


SAID: Json = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]}


def test_reasoning_items_go_back_in_front_of_what_they_led_to() -> None:
    items = [
        {"role": "user", "content": "Weather?"},
        reasoning("Let me look.", blocks=[SIGNED, REDACTED]),
        SAID,
        reasoning("And then?", blocks=[SIGNED_2]),
        called("call_1"),
        put_out("call_1"),
    ]
    messages = responses(*items).messages
    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Let me look.",
            "thinking_blocks": [SIGNED, REDACTED],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "And then?",
            "thinking_blocks": [SIGNED_2],
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    deepseek = prepare_messages(messages, dialect_of("deepseek", "deepseek-chat"))
    assert [message["role"] for message in deepseek] == ["user", "assistant", "tool"]
    assert deepseek[1]["reasoning_content"] == "Let me look.\nAnd then?"
    openai = prepare_messages(messages, dialect_of("openai", "gpt-4o"))
    assert openai[1] == {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}


@pytest.mark.parametrize("encrypted", ["gAAAAAB", "{}", "[1]", '[{"type": "text"}]', "[", 5, None])
def test_what_another_service_encrypted_is_left_out(encrypted: Any) -> None:
    item = {**reasoning("Hm."), "encrypted_content": encrypted}
    (answer,) = responses(item, SAID).messages
    assert answer == {"role": "assistant", "content": "I look.", "reasoning_content": "Hm."}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "reasoning", "summary": "Hm.", "content": None},
        {"type": "reasoning", "summary": [1, {"text": None}, {"text": "Hm."}], "status": None, "content": "x"},
    ],
)
def test_a_reasoning_item_of_any_form_is_read_as_far_as_it_goes(item: Json) -> None:
    (answer,) = responses(item, SAID).messages
    assert answer["reasoning_content"] in {"Hm.", "x"}


def test_items_become_an_order_that_chat_providers_take() -> None:
    """A message between a call and its output made OpenAI answer 400."""
    items = [{"role": "user", "content": "?"}, called("a"), SAID, called("b"), put_out("a"), SAID, put_out("b")]
    prepared = prepare_messages(responses(*items).messages, dialect_of("openai", "gpt-4o"))
    assert [message["role"] for message in prepared] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [call["id"] for call in prepared[1]["tool_calls"]] == ["a", "b"]


def test_a_picture_that_a_tool_put_out_reaches_the_model() -> None:
    output = [
        {"type": "input_text", "text": "A map"},
        {"type": "input_image", "image_url": PICTURE["image_url"]["url"]},
    ]
    messages = responses(called("call_1"), put_out("call_1", output)).messages
    assert prepare_messages(messages, dialect_of("openai", "gpt-4o"))[2]["content"][1] == PICTURE
    assert prepare_messages(messages, dialect_of("anthropic", "claude-sonnet-4-5"))[1]["content"][1] == PICTURE


def anthropic(*messages: Json, **more: Any) -> ChatRequest:
    return from_anthropic(MessagesBody.model_validate({"messages": list(messages), "max_tokens": 9, **more}))


USE: Json = {"type": "tool_use", "id": "call_1", "name": "look", "input": {}}


def test_thinking_keeps_its_place_among_the_blocks_of_a_message() -> None:
    blocks = [SIGNED, {"type": "text", "text": "I look."}, REDACTED, SIGNED_2, USE]
    messages = anthropic({"role": "assistant", "content": blocks}).messages
    assert messages == [
        {"role": "assistant", "content": "I look.", "thinking_blocks": [SIGNED]},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "thinking_blocks": [REDACTED, SIGNED_2]},
    ]
    (alone,) = prepare_messages(messages, dialect_of("openai", "gpt-4o"))
    assert alone == {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}


def test_a_picture_in_a_tools_result_reaches_the_model_at_anthropics_api() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    shown = {"type": "tool_result", "tool_use_id": "call_1", "content": [image]}
    talk: list[Json] = [
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [shown, {"type": "text", "text": "?"}]},
    ]
    prepared = prepare_messages(anthropic(*talk).messages, dialect_of("openai", "gpt-4o"))
    assert [message["role"] for message in prepared] == ["assistant", "tool", "user", "user"]
    assert prepared[2]["content"][1] == PICTURE


def test_arguments_kept_as_text_are_an_object_again() -> None:
    used = {"role": "assistant", "content": [{**USE, "input": '{"a": 1}'}, {**USE, "id": "call_2", "input": ""}]}
    (message,) = anthropic(used).messages
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"a": 1}', "{}"]


def test_each_api_has_its_tiers_of_service() -> None:
    assert anthropic(USER, service_tier="standard_only").parameters["service_tier"] == "standard_only"
    assert responses(USER, service_tier="flex").parameters["service_tier"] == "flex"
    assert chat(USER, service_tier="priority").given_parameters() == {"service_tier": "priority"}
    with pytest.raises(ValidationError):
        chat(USER, service_tier="fastest")


async def test_a_job_takes_the_tier_and_the_history(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    answer = {"role": "assistant", "content": "Sunny.", "reasoning_content": "Hm.", "thinking_blocks": [SIGNED]}
    for route in ("llm-call", "llm-call-stream"):
        body = {"model_group": "ok", "messages": [USER, answer, USER], "service_tier": "flex"}
        sent = await team.http.post(f"/api/jobs/{job_id}/{route}", json=body)
        assert sent.status_code == 200
        assert "X-Ignored-Fields" not in sent.headers
    for seen in provider.seen("ok"):
        assert seen.body["service_tier"] == "flex"
        assert seen.body["messages"] == [USER, {"role": "assistant", "content": "Sunny."}, USER]
