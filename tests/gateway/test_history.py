"""What of a conversation goes to which provider: one that refuses a field never gets it, one that needs it always does."""

import copy
import json
from typing import Any

import litellm
import pytest
from litellm.utils import ProviderConfigManager

from control_plane.gateway.dialects import DIALECTS, PLAIN, dialect_of
from control_plane.gateway.history import prepare_messages, prepare_parameters

Json = dict[str, Any]

USER: Json = {"role": "user", "content": "Weather?"}
SIGNED: Json = {"type": "thinking", "thinking": "Let me look.", "signature": "c2ln"}
REDACTED: Json = {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}
DETAIL: Json = {"type": "reasoning.text", "text": "Let me look.", "signature": "c2ln", "format": "anthropic-claude-v1"}
PICTURE: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ANSWER: Json = {
    "role": "assistant",
    "content": "Sunny.",
    "reasoning_content": "Let me look.",
    "thinking_blocks": [SIGNED, REDACTED],
    "reasoning_details": [DETAIL],
    "annotations": [{"type": "url_citation"}],
    "provider_specific_fields": {"thought_signatures": ["Z2Vt"], "other": 1},
    "extra_content": {"google": {"thought_signature": "Z2Vt"}},
}


def calling(*ids: str, **more: Any) -> Json:
    calls = [{"id": each, "type": "function", "function": {"name": "look", "arguments": "{}"}} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(call_id: str, content: Any = "sunny") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def sent(provider: str, *messages: Json, model: str = "a-model", host: str | None = None) -> list[Json]:
    return prepare_messages(messages, dialect_of(provider, model, host=host))


KEPT: dict[tuple[str, str], set[str]] = {
    ("openai", "gpt-5"): set(),
    ("azure", "gpt-4o"): set(),
    ("azure_ai", "mistral-large"): set(),
    ("mistral", "mistral-large-latest"): set(),
    ("cerebras", "gpt-oss-120b"): set(),
    ("sambanova", "Qwen3"): set(),
    ("groq", "llama-3.3-70b"): set(),
    ("groq", "openai/gpt-oss-120b"): {"reasoning"},
    ("a-provider-of-tomorrow", "x"): set(),
    ("deepseek", "deepseek-reasoner"): {"reasoning_content"},
    ("moonshot", "kimi-k2-thinking"): {"reasoning_content"},
    ("hosted_vllm", "qwen3"): {"reasoning_content"},
    ("xai", "grok-4"): {"reasoning_content"},
    ("together_ai", "glm"): {"reasoning_content"},
    ("dashscope", "qwen3-max"): {"reasoning_content"},
    ("openrouter", "anthropic/claude-sonnet-4.5"): {"reasoning_details", "annotations"},
    ("minimax", "MiniMax-M2"): {"reasoning_content", "reasoning_details"},
    ("anthropic", "claude-sonnet-4-5"): {"thinking_blocks"},
    ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"): {"thinking_blocks"},
    ("bedrock", "amazon.nova-pro-v1:0"): set(),
    ("vertex_ai", "claude-sonnet-4-5@20250929"): {"thinking_blocks"},
    ("vertex_ai", "gemini-3-pro"): {"reasoning_content", "provider_specific_fields"},
    ("vertex_ai", "1234567890"): {"reasoning_content", "provider_specific_fields"},
    ("vertex_ai", "meta/llama-4"): set(),
    ("gemini", "gemini-3-pro"): {"reasoning_content", "provider_specific_fields"},
}


@pytest.mark.parametrize(("provider", "model"), KEPT, ids=str)
def test_each_provider_gets_the_reasoning_in_its_own_fields_and_no_other(provider: str, model: str) -> None:
    given = copy.deepcopy(ANSWER)
    (_, answer) = sent(provider, USER, given, model=model)
    assert answer.keys() - {"role", "content"} == KEPT[provider, model]
    assert given == ANSWER  # the next provider gets it whole


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("api.openai.com", set()),
        ("llm.internal", set()),
        (None, set()),
        ("api.deepseek.com", {"reasoning_content"}),
        ("openrouter.ai", {"reasoning_details", "annotations"}),
        ("generativelanguage.googleapis.com", {"extra_content"}),
    ],
)
def test_a_provider_of_openais_wire_is_known_by_its_address(host: str | None, kept: set[str]) -> None:
    (answer,) = sent("openai", ANSWER, host=host)
    assert answer.keys() - {"role", "content"} == kept


@pytest.mark.parametrize(
    ("given", "provider", "field", "value"),
    [
        ({"reasoning": "Hm."}, "deepseek", "reasoning_content", "Hm."),
        ({"thinking_blocks": [SIGNED]}, "deepseek", "reasoning_content", "Let me look."),
        ({"reasoning_details": [DETAIL]}, "moonshot", "reasoning_content", "Let me look."),
        ({"reasoning_content": "Hm."}, "openrouter", "reasoning", "Hm."),
        ({"reasoning_details": [DETAIL]}, "anthropic", "thinking_blocks", [SIGNED]),
        ({"thinking_blocks": [SIGNED]}, "openrouter", "reasoning_details", [{**DETAIL, "index": 0}]),
    ],
)
def test_reasoning_of_one_provider_is_translated_for_another(
    given: Json, provider: str, field: str, value: object
) -> None:
    (answer,) = sent(provider, {"role": "assistant", "content": "Sunny.", **given})
    assert answer[field] == value


def test_a_thought_without_a_signature_does_not_go_to_claude_which_refuses_it() -> None:
    (answer,) = sent("anthropic", {**ANSWER, "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}, REDACTED]})
    assert answer["thinking_blocks"] == [REDACTED]


SIGNATURES: list[Json] = [
    {**CALL, "provider_specific_fields": {"thought_signature": "Z2Vt"}},
    {**CALL, "function": {**CALL["function"], "provider_specific_fields": {"thought_signature": "Z2Vt"}}},
    {**CALL, "extra_content": {"google": {"thought_signature": "Z2Vt"}}},
    {**CALL, "id": "call_1__thought__Z2Vt"},
]


@pytest.mark.parametrize("call", SIGNATURES, ids=["fields", "function", "extra", "id"])
def test_geminis_signature_goes_back_wherever_the_client_kept_it(call: Json) -> None:
    talk = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}, result(call["id"])]
    body = transformed("gemini", "gemini-3-pro-preview", sent("gemini", *talk, model="gemini-3-pro-preview"))
    assert body["contents"][1]["parts"][0]["thoughtSignature"] == "Z2Vt"
    (_, asked, answered) = sent("openai", *talk)
    assert asked["tool_calls"] == [CALL]  # without what OpenAI refuses, a long id included
    assert answered["tool_call_id"] == "call_1"
    (_, asked, _) = sent("openai", *talk, host="generativelanguage.googleapis.com")
    assert asked["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "Z2Vt"}}


def transformed(provider: str, model: str, messages: list[Json], **parameters: Any) -> Json:
    """The body that LiteLLM makes for a provider of another wire."""
    if provider == "gemini":
        from litellm.llms.vertex_ai.gemini.transformation import _gemini_convert_messages_with_history  # noqa: PLC0415

        return {"contents": _gemini_convert_messages_with_history(messages=messages, model=model)}
    config: Any = ProviderConfigManager.get_provider_chat_config(model=model, provider=litellm.LlmProviders(provider))
    body: Json = config.transform_request(
        model=model, messages=messages, optional_params={"max_tokens": 9, **parameters}, litellm_params={}, headers={}
    )
    return body


def test_claude_gets_its_blocks_in_the_order_in_which_it_signed_them() -> None:
    second = {**SIGNED, "thinking": "And then?", "signature": "c2lnMg=="}
    talk = [
        USER,
        {"role": "assistant", "content": "I look.", "thinking_blocks": [SIGNED, REDACTED]},
        calling("call_1", thinking_blocks=[second]),
        result("call_1"),
    ]
    body = transformed("anthropic", "claude-sonnet-4-5", sent("anthropic", *talk))
    blocks = body["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "redacted_thinking", "text", "thinking", "tool_use"]
    assert (blocks[0]["signature"], blocks[1]["data"], blocks[3]["signature"]) == ("c2ln", "cmVkYWN0ZWQ=", "c2lnMg==")
    # and elsewhere it is one message with its calls, directly before their results
    assert [message["role"] for message in sent("openai", *talk)] == ["user", "assistant", "tool"]
    assert sent("openai", *talk)[1] == {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("field", "refused", "content"),
    [
        ({"refusal": "I cannot."}, {"refusal": "I cannot."}, "I cannot."),
        ({"audio": {"id": "audio_1", "transcript": "Hi", "data": "x"}}, {"audio": {"id": "audio_1"}}, "Hi"),
        ({"audio": {"id": "audio_1"}}, {"audio": {"id": "audio_1"}}, ""),
    ],
)
def test_refusals_and_spoken_answers_stay_at_openai_and_are_text_elsewhere(
    field: Json, refused: Json, content: str
) -> None:
    talk = [USER, {"role": "assistant", "content": None, **field}, USER]
    assert sent("openai", *talk)[1] == {"role": "assistant", "content": None, **refused}
    for provider in ("anthropic", "deepseek", "groq", "mistral"):
        assert sent(provider, *talk)[1] == {"role": "assistant", "content": content}


def test_an_answer_that_was_only_reasoning_leaves_nothing_empty_behind() -> None:
    thought = {"role": "assistant", "content": None, "reasoning_content": "Hm."}
    assert sent("openai", USER, thought, USER) == [USER, USER]
    assert sent("deepseek", USER, thought, USER)[1] == {"role": "assistant", "content": "", "reasoning_content": "Hm."}


CACHED: Json = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
TOOL: Json = {"type": "function", "function": {"name": "look"}, "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("provider", sorted({*DIALECTS, "mistral", "perplexity"}))
def test_cache_marks_go_only_where_they_are_understood(provider: str) -> None:
    understood = {
        "anthropic",
        "bedrock",
        "gemini",
        "openrouter",
        "litellm_proxy",
        "databricks",
        "dashscope",
        "minimax",
        "zai",
    }
    (user, answer) = sent(
        provider, {"role": "user", "content": [CACHED]}, {**result("x"), "cache_control": {"type": "ephemeral"}}
    )
    parameters = prepare_parameters({"tools": [TOOL]}, [], dialect_of(provider, "x"))
    marked = "cache_control" in json.dumps([user, answer, parameters])
    assert marked == (provider in understood)


ORDERS: dict[str, tuple[list[Json], list[Json]]] = {
    "text after the calls": (
        [calling("a"), {"role": "assistant", "content": "Wait."}, result("a")],
        [{**calling("a"), "content": "Wait."}, result("a")],
    ),
    "each call a message": (
        [calling("a"), calling("b"), result("a"), result("b")],
        [calling("a", "b"), result("a"), result("b")],
    ),
    "a user who speaks before the result": ([calling("a"), USER, result("a")], [calling("a"), result("a"), USER]),
    "a result that is late": (
        [calling("a", "b"), result("b"), USER, result("a")],
        [calling("a", "b"), result("b"), result("a"), USER],
    ),
    "an id that is used again": (
        [calling("a"), result("a", "1"), calling("a"), USER, result("a", "2")],
        [calling("a"), result("a", "1"), calling("a"), result("a", "2"), USER],
    ),
    "a call without a result": ([calling("a"), USER], [calling("a"), USER]),
    "a result without a call": ([USER, result("a")], [USER, result("a")]),
    "a call whose result came before it": ([result("a"), calling("a"), USER], [result("a"), calling("a"), USER]),
}


@pytest.mark.parametrize("case", ORDERS)
def test_results_stand_directly_behind_the_calls(case: str) -> None:
    given, expected = ORDERS[case]
    assert sent("openai", *given) == expected


def test_messages_in_a_row_stay_as_the_client_sent_them() -> None:
    talk = [USER, USER, {"role": "assistant", "content": "One."}, {"role": "assistant", "content": "Two."}]
    for provider in ("openai", "deepseek", "anthropic"):
        assert sent(provider, *talk) == talk


SHOWN: list[Json] = [{"type": "text", "text": "A map"}, PICTURE]


def test_a_picture_in_a_result_follows_all_results_of_its_turn() -> None:
    talk = [USER, calling("a", "b"), result("a", SHOWN), result("b", [PICTURE]), {"role": "user", "content": "And?"}]
    messages = sent("openai", *talk)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert messages[2]["content"] == "A map"
    assert isinstance(messages[3]["content"], str)
    shown = messages[4]["content"]
    assert [part["type"] for part in shown] == ["text", "image_url", "text", "image_url"]
    assert ("call a" in shown[0]["text"], "call b" in shown[2]["text"]) == (True, True)


def test_a_picture_stays_in_its_result_where_the_provider_reads_it_there() -> None:
    talk = [USER, calling("call_1"), result("call_1", SHOWN)]
    claude = transformed("anthropic", "claude-sonnet-4-5", sent("anthropic", *talk))
    (block,) = claude["messages"][2]["content"]
    assert (block["type"], [part["type"] for part in block["content"]]) == ("tool_result", ["text", "image"])
    gemini = transformed("gemini", "gemini-3-pro-preview", sent("gemini", *talk, model="gemini-3-pro-preview"))
    (part,) = gemini["contents"][2]["parts"]
    assert part["function_response"]["parts"][0]["inline_data"]["mime_type"] == "image/png"


@pytest.mark.parametrize("arguments", ['{"location": "Par', "[1, 2]", "", "null", "{}", '{"a": 1}'])
@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
def test_whatever_a_model_wrote_as_arguments_its_call_goes_back(provider: str, arguments: str) -> None:
    """A cut answer's half a JSON made LiteLLM raise, and the conversation could not go on."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    talk = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}, result("call_1")]
    model = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}[provider]
    body = transformed(provider, model, sent(provider, *talk, model=model))
    assert "look" in json.dumps(body)
    assert sent("openai", *talk)[1]["tool_calls"][0]["function"]["arguments"] == (arguments or "{}")


TIERS: list[tuple[str, str, str | None]] = [
    ("openai", "flex", "flex"),
    ("openai", "standard_only", "default"),
    ("azure", "priority", "priority"),
    ("openrouter", "flex", "flex"),
    ("groq", "default", "on_demand"),
    ("groq", "priority", None),
    ("anthropic", "auto", "auto"),
    ("anthropic", "default", "standard_only"),
    ("anthropic", "flex", None),
    ("gemini", "flex", "flex"),
    ("gemini", "auto", None),
    ("bedrock", "priority", "priority"),
    ("deepseek", "flex", None),
    ("hosted_vllm", "flex", None),
    ("mistral", "auto", None),
]


@pytest.mark.parametrize(("provider", "asked", "tier"), TIERS)
def test_a_tier_of_service_is_asked_for_in_the_providers_own_words(provider: str, asked: str, tier: str | None) -> None:
    prepared = prepare_parameters({"service_tier": asked, "seed": 1}, [], dialect_of(provider, "x"))
    assert prepared.get("service_tier") == tier
    assert prepared["seed"] == 1


def test_forms_of_answers_go_only_where_they_exist() -> None:
    asked = {"modalities": ["text"], "audio": {"voice": "alloy"}, "prediction": {"content": "x"}, "top_p": 1}
    assert prepare_parameters(asked, [], dialect_of("openai", "gpt-4o-audio-preview")) == asked
    for provider in ("deepseek", "groq", "xai", "moonshot", "together_ai"):
        assert prepare_parameters(asked, [], dialect_of(provider, "x")) == {"top_p": 1}


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh"])
def test_every_effort_is_understood_by_litellms_code_for_gemini(effort: str) -> None:
    prepared = prepare_parameters({"reasoning_effort": effort}, [], dialect_of("gemini", "gemini-2.5-pro"))
    from litellm.utils import get_optional_params  # noqa: PLC0415

    mapped = get_optional_params(model="gemini-2.5-pro", custom_llm_provider="gemini", messages=[], **prepared)
    assert "thinkingConfig" in mapped


THINKING: Json = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "reasoning_effort": "high"}


@pytest.mark.parametrize(
    ("talk", "is_kept"),
    [
        ([USER], True),
        ([USER, calling("a", thinking_blocks=[SIGNED]), result("a")], True),
        ([USER, calling("a", thinking_blocks=[SIGNED]), result("a"), calling("b"), result("b")], True),
        ([USER, calling("a"), result("a")], False),
        ([USER, calling("a", reasoning_content="Of another provider."), result("a")], False),
        ([USER, calling("a"), result("a"), USER], True),
    ],
)
def test_claude_goes_on_without_thinking_where_it_would_refuse_the_turn(talk: list[Json], *, is_kept: bool) -> None:
    """After a fallback in the middle of tool calls Claude answered 400: it wants its thinking before its calls."""
    dialect = dialect_of("anthropic", "claude-sonnet-4-5")
    prepared = prepare_parameters(THINKING, prepare_messages(talk, dialect), dialect)
    assert prepared == (THINKING if is_kept else {})
    assert prepare_parameters(THINKING, talk, dialect_of("openai", "gpt-5")) == THINKING


def test_a_provider_nobody_knows_gets_openais_fields_only() -> None:
    assert dialect_of("a-provider-of-tomorrow", "x") is PLAIN


def test_a_picture_of_an_answer_goes_back_as_data_and_never_as_a_link() -> None:
    """LiteLLM's code for Gemini fetches links, from our network."""
    link = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}
    answer = {"role": "assistant", "content": "Here.", "images": [PICTURE, link]}
    assert sent("gemini", answer, model="gemini-2.5-flash-image")[0]["images"] == [PICTURE]
    assert "images" not in sent("openai", answer)[0]


def test_ten_thousand_messages_are_put_in_order_at_once() -> None:
    talk = [each for number in range(5000) for each in (calling("same"), USER if number % 2 else result("same"))]
    assert len(sent("openai", *talk)) == 10_000
