"""What providers with a wire of their own say arrives as it was said: whole, streamed, and however the network cut it."""

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from control_plane.completion.events import Citation, Picture, Reasoning, Refusal, ToolCallBegun
from tests.gateway.native_answers import WIRES, Call, Said, Wire, in_pieces
from tests.gateway.native_gateways import TOOL, Native
from tests.gateway.native_provider import JSON, NativeProvider, Reply, frames, sse

ALL = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)

TEXTS = ("Hel", "lo \u2028\x85 ☃ \U0001f600", "\n\n")
ANSWER = Said(TEXTS, "Hm ☃", "SIG", (Call("get", {"a": 1}), Call("get", {"a": "ü"}, "call_2")))

SIGNS = ("anthropic", "invoke", "converse")
"""Those that sign their reasoning."""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def native() -> AsyncIterator[Native]:
    async with NativeProvider.start() as provider, Native.over(provider) as opened:
        yield opened


@ALL
@pytest.mark.parametrize("size", [None, 1, 7, 1000], ids=["whole", "byte by byte", "by 7", "by 1000"])
async def test_an_answer_is_the_same_whole_and_streamed_however_it_is_cut(
    native: Native, wire: Wire, size: int | None
) -> None:
    reply = wire.whole(ANSWER) if size is None else in_pieces(wire.stream(ANSWER), size)
    outcome = await native.get(wire, reply, is_stream=size is not None, tools=[TOOL])
    message = outcome.message
    assert outcome.failure is None
    assert message.text == ANSWER.text
    assert message.reasoning == ANSWER.thought
    assert [(call.name, json.loads(call.arguments)) for call in message.tool_calls] == [
        ("get", {"a": 1}),
        ("get", {"a": "ü"}),
    ]
    assert len({call.id for call in message.tool_calls}) == 2
    assert outcome.finish.reason == "tool_calls"
    assert [thought.signature for thought in message.thoughts] == (["SIG"] if wire.name in SIGNS else [None])


@ALL
async def test_text_arrives_in_the_pieces_in_which_it_was_sent(native: Native, wire: Wire) -> None:
    outcome = await native.get(wire, wire.stream(Said(("one", " two", " three"))), is_stream=True)
    assert [getattr(event, "text", None) for event in outcome.events] == ["one", " two", " three"]


@ALL
@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_answer_may_be_compressed(native: Native, wire: Wire, *, is_stream: bool) -> None:
    reply = wire.stream(ANSWER) if is_stream else wire.whole(ANSWER)
    packed = replace(reply, pieces=[gzip.compress(b"".join(reply.pieces))], headers={"Content-Encoding": "gzip"})
    outcome = await native.get(wire, packed, is_stream=is_stream, tools=[TOOL])
    assert outcome.message.text == ANSWER.text
    assert outcome.failure is None


@pytest.mark.parametrize("name", ["anthropic", "gemini", "azure", "cohere"])
async def test_a_surrogate_pair_cut_in_two_is_one_character(native: Native, name: str) -> None:
    wire = WIRES[name]
    outcome = await native.get(wire, wire.stream(Said(("a\ud83d", "\ude00b", "\ud83d"))), is_stream=True)
    assert outcome.message.text == "a\U0001f600b\ufffd"
    assert outcome.failure is None


async def test_reasoning_that_only_the_provider_can_read_comes_through(native: Native) -> None:
    wire = WIRES["anthropic"]
    hidden = {"type": "redacted_thinking", "data": "XYZ"}
    text = {"type": "text", "text": "Hi"}
    whole = await native.get(wire, wire.whole(Said(more={"content": [hidden, text]})), is_stream=False)
    start = {"type": "content_block_start", "index": 0, "content_block": hidden}
    streamed = wire.stream(Said(("Hi",))).pieces[0].split(b"event: content_block_start")
    body = streamed[0] + sse(start) + b"event: content_block_start" + streamed[1]
    stream = await native.get(wire, Reply([body]), is_stream=True)
    for outcome in (whole, stream):
        assert outcome.events[0] == Reasoning(redacted="XYZ")
        assert outcome.message.text == "Hi"


GROUNDED = {
    "groundingMetadata": {
        "groundingChunks": [{"web": {"uri": "https://a.example/x", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 2, "text": "Hi"}, "groundingChunkIndices": [0]}
        ],
    }
}


def gemini(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {
        "candidates": [{"index": 0, "content": content, "finishReason": "STOP", **candidate}],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": WIRES["gemini"].usage,
    }


@pytest.mark.parametrize("is_stream", [False, True])
async def test_geminis_pictures_and_sources_come_through(native: Native, *, is_stream: bool) -> None:
    document = gemini({"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, **GROUNDED)
    reply = Reply([sse(document)]) if is_stream else Reply([json.dumps(document).encode()], JSON)
    outcome = await native.get(WIRES["gemini"], reply, is_stream=is_stream)
    assert Picture("data:image/png;base64,AAAA") in outcome.events
    assert [(c.url, c.title) for c in outcome.message.citations] == [("https://a.example/x", "A")]


async def test_parallel_calls_of_gemini_and_ollama_get_ids_of_their_own_and_keep_signatures(native: Native) -> None:
    for name in ("gemini", "ollama"):
        wire = WIRES[name]
        outcome = await native.get(wire, wire.stream(ANSWER), is_stream=True, tools=[TOOL])
        begun = [event for event in outcome.events if isinstance(event, ToolCallBegun)]
        assert len({event.id for event in begun}) == 2
        assert all(event.id for event in begun)
        if name == "gemini":  # LiteLLM finds the signature of a call in its id when the call comes back
            assert all("SIG" in event.id for event in begun)


CITED = {
    "anthropic web": (
        "anthropic",
        {"type": "web_search_result_location", "url": "https://a.example", "title": "A", "cited_text": "Hi"},
        ("https://a.example", "A"),
    ),
    "anthropic document": (
        "anthropic",
        {"type": "char_location", "document_index": 0, "document_title": "Doc", "cited_text": "Hi"},
        ("", "Doc"),
    ),
    "responses": (
        "responses",
        {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2},
        ("https://a.example", "A"),
    ),
    "cohere": (
        "cohere",
        {"start": 0, "end": 2, "sources": [{"type": "document", "id": "d", "document": {"title": "Doc"}}]},
        ("", "Doc"),
    ),
}


@pytest.mark.parametrize(("name", "citation", "expected"), CITED.values(), ids=CITED)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_sources_come_through_once(
    native: Native, name: str, citation: dict[str, Any], expected: tuple[str, str], *, is_stream: bool
) -> None:
    wire = WIRES[name]
    said = Said(("Hi",))
    reply = wire.stream(said) if is_stream else wire.whole(said)
    outcome = await native.get(wire, with_citation(name, reply, citation, is_stream=is_stream), is_stream=is_stream)
    assert [(event.url, event.title) for event in outcome.events if isinstance(event, Citation)] == [expected]


def with_citation(name: str, reply: Reply, citation: dict[str, Any], *, is_stream: bool) -> Reply:
    body = b"".join(reply.pieces)
    if not is_stream:
        document = json.loads(body)
        if name == "anthropic":
            document["content"][0]["citations"] = [citation]
        elif name == "responses":
            document["output"][0]["content"][0]["annotations"] = [citation]
        else:
            document["message"]["citations"] = [citation]
        return replace(reply, pieces=[json.dumps(document).encode()])
    events = body.split(b"\n\n")
    place, added = {
        "anthropic": (
            3,
            {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": citation}},
        ),
        "responses": (
            3,
            {"type": "response.output_text.annotation.added", "output_index": 0, "annotation": citation},
        ),
        "cohere": (3, {"type": "citation-start", "index": 0, "delta": {"message": {"citations": citation}}}),
    }[name]
    return replace(reply, pieces=[b"\n\n".join([*events[:place], sse(added).rstrip(), *events[place:]])])


def azure_refusal(*, is_stream: bool) -> Reply:
    wire: Any = WIRES["azure"]
    if not is_stream:
        message = {"role": "assistant", "content": None, "refusal": "I won't"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return Reply([json.dumps(wire.document("", choices, usage=wire.usage)).encode()], JSON)
    deltas = ({"role": "assistant", "content": None, "refusal": ""}, {"refusal": "I "}, {"refusal": "won't"})
    chunks = [wire.document(".chunk", [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    end = wire.document(".chunk", [{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=wire.usage)
    return Reply([sse(*chunks, end) + b"data: [DONE]\n\n"])


def responses_refusal(*, is_stream: bool) -> Reply:
    wire: Any = WIRES["responses"]
    part = {"type": "refusal", "refusal": "I won't"}
    item = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}
    whole = wire.response(Said(), output=[item])
    if not is_stream:
        return Reply([json.dumps(whole).encode()], JSON)
    begun = wire.response(Said(), status="in_progress", output=[])
    deltas = [{"type": "response.refusal.delta", "output_index": 0, "delta": text} for text in ("I ", "won't")]
    completed = {"type": "response.completed", "response": whole}
    return Reply([sse({"type": "response.created", "response": begun}, *deltas, completed)])


@pytest.mark.parametrize(("name", "refusal"), [("azure", azure_refusal), ("responses", responses_refusal)])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_refusal_is_one_streamed_too(native: Native, name: str, refusal: Any, *, is_stream: bool) -> None:
    outcome = await native.get(WIRES[name], refusal(is_stream=is_stream), is_stream=is_stream)
    assert "".join(event.text for event in outcome.events if isinstance(event, Refusal)) == "I won't"
    assert outcome.message.text == ""


async def test_bedrocks_other_models_speak_through_converse_too(native: Native) -> None:
    nova = frames(
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "max_tokens"}},
        {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}, "metrics": {"latencyMs": 1}}},
    )
    wire = WIRES["converse"]
    outcome = await native.get(wire, replace(wire.stream(Said()), pieces=[nova]), is_stream=True)
    assert outcome.message.text == "Hi"
    assert outcome.finish.reason == "length"
    assert outcome.usage.total_tokens == 4


async def test_what_is_asked_of_a_provider_stays_what_litellm_makes_of_it(native: Native) -> None:
    for wire in WIRES.values():
        native.provider.forget()
        await native.get(wire, wire.stream(Said(("Hi",))), is_stream=True)
        (request,) = native.provider.requests
        assert b"hi there" in request.body, wire.name
