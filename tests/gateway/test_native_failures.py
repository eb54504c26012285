"""What is no answer is a failure with its provider's reason, whole or streamed; before its first event the next model answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import pytest_asyncio

from control_plane.clock import now
from control_plane.completion.events import ToolCallBegun
from control_plane.errors import (
    ContentPolicyViolated,
    ContextLengthExceeded,
    LlmCallFailed,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
)
from tests.gateway.conftest import make_call
from tests.gateway.native_answers import WIRES, Call, Said, Wire, deployment
from tests.gateway.native_gateways import TOOL, Native
from tests.gateway.native_provider import EVENT_STREAM, JSON, NDJSON, NativeProvider, Reply, frame, frames, ndjson, sse
from tests.support.patience import PATIENCE_S

ALL = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])

HI = Said(("Hi",))
CUT = replace(HI, is_cut=True)
OTHER = "the next model"

anthropic: Any = WIRES["anthropic"]
gemini: Any = WIRES["gemini"]
ollama: Any = WIRES["ollama"]
azure: Any = WIRES["azure"]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def opened() -> AsyncIterator[Native]:
    async with NativeProvider.start() as provider:
        fallback = deployment(WIRES["azure"], provider, name="other")
        async with Native.over(provider, fallback) as native:
            yield native


@pytest.fixture
def native(opened: Native) -> Native:
    opened.provider.forget()
    opened.provider.replies["other"] = WIRES["azure"].stream(Said((OTHER,)))
    opened.reports.clear()
    return opened


def whole(document: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply([json.dumps(document).encode()], JSON, status, named)


def failed(kind: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


NO_ANSWERS = {
    "a page": Reply([b"<html>oops</html>"], "text/html"),
    "nothing": Reply([b""], JSON),
    "null": Reply([b"null"], JSON),
    "an empty object": Reply([b"{}"], JSON),
    "half a document": Reply([b'{"a'], JSON),
    "half an event": Reply([b'data: {"a\n\n']),
    "a comment": Reply([b": hello\n\n"]),
    "a broken connection": Reply((), JSON, is_dropped=True),
}


@ALL
@pytest.mark.parametrize("reply", NO_ANSWERS.values(), ids=NO_ANSWERS)
@EITHER
async def test_what_is_no_answer_is_the_providers_failure_and_the_next_model_answers(
    native: Native, wire: Wire, reply: Reply, *, is_stream: bool
) -> None:
    with pytest.raises((LlmCallFailed, ProviderUnavailable)):
        await native.get(wire, reply, is_stream=is_stream)
    outcome = await native.ask(wire.name, "other", is_stream=True)
    assert outcome.message.text == OTHER
    assert outcome.served.deployment_id == "other#1"


@ALL
@EITHER
async def test_the_next_model_answers_in_the_place_of_an_empty_answer(
    native: Native, wire: Wire, *, is_stream: bool
) -> None:
    azure_says = Said((OTHER,))
    native.provider.replies["other"] = azure.stream(azure_says) if is_stream else azure.whole(azure_says)
    native.provider.replies[wire.name] = wire.stream(Said()) if is_stream else wire.whole(Said())
    outcome = await native.ask(wire.name, "other", is_stream=is_stream)
    assert outcome.message.text == OTHER
    assert outcome.served.deployment_id == "other#1"


REPORTED: dict[str, tuple[str, Reply, type[ProviderError], float | None]] = {
    "overloaded": (
        "anthropic",
        whole(failed("overloaded_error"), 529, retry_after="17"),
        ProviderUnavailable,
        17,
    ),
    "overloaded in a 200": ("anthropic", whole(failed("overloaded_error")), ProviderUnavailable, 5),
    "an empty account": (
        "anthropic",
        whole(failed("invalid_request_error", "Your credit balance is too low"), 400),
        LlmCallFailed,
        None,
    ),
    "a full context": (
        "anthropic",
        whole(failed("invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum"), 400),
        ContextLengthExceeded,
        None,
    ),
    "Google's limit in a 200": (
        "gemini",
        whole([{"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}]),
        ProviderRateLimited,
        5,
    ),
    "Google's key": (
        "gemini",
        whole({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}, 400),
        LlmCallFailed,
        None,
    ),
    "Bedrock's limit": ("converse", whole({"message": "Too many requests"}, 429), ProviderRateLimited, 5),
    "Bedrock's limit for invoke": ("invoke", whole({"message": "Too many requests"}, 429), ProviderRateLimited, 5),
    "Ollama's error in a 200": ("ollama", whole({"error": "model runner has stopped"}), LlmCallFailed, None),
    "Azure's filter": (
        "azure",
        whole(
            {
                "error": {
                    "message": "filtered",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            400,
        ),
        ContentPolicyViolated,
        None,
    ),
    "Azure's error in a 200": (
        "azure",
        whole({"error": {"message": "no", "code": "429"}}),
        ProviderRateLimited,
        5,
    ),
    "a failed response": (
        "responses",
        WIRES["responses"].whole(
            Said(finish="failed", more={"error": {"code": "rate_limit_exceeded", "message": "-"}})
        ),
        ProviderRateLimited,
        5,
    ),
}


@pytest.mark.parametrize(("name", "reply", "error", "retry_after_s"), REPORTED.values(), ids=REPORTED)
@EITHER
async def test_a_provider_that_reports_an_error_gives_its_reason(
    native: Native, name: str, reply: Reply, error: type[ProviderError], retry_after_s: float | None, *, is_stream: bool
) -> None:
    with pytest.raises(error) as raised:
        await native.get(WIRES[name], reply, is_stream=is_stream)
    assert raised.value.retry_after_s == retry_after_s


async def test_a_wait_may_be_a_date(native: Native) -> None:
    date = format_datetime(now() + timedelta(seconds=600), usegmt=True)
    with pytest.raises(ProviderUnavailable) as raised:
        await native.get(anthropic, whole(failed("overloaded_error"), 529, retry_after=date), is_stream=True)
    assert raised.value.retry_after_s is not None
    assert 580 <= raised.value.retry_after_s <= 600


THROTTLED = frame("throttlingException", {"message": "no"}, message_type="exception")
BEGUN = {"messageStart": {"role": "assistant"}}
SAID = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}}

BREAKING: dict[str, tuple[str, list[bytes], bytes, str, type[ProviderError]]] = {
    "Anthropic": (
        "anthropic",
        [sse(anthropic.events(HI)[0]), sse(*anthropic.events(HI)[1:3])],
        sse(failed("overloaded_error")),
        "text/event-stream",
        ProviderUnavailable,
    ),
    "Gemini": (
        "gemini",
        [b"", sse(gemini.document([{"text": "Hi"}], None))],
        sse({"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}),
        "text/event-stream",
        ProviderRateLimited,
    ),
    "Bedrock": ("converse", [frames(BEGUN), frames(SAID)], THROTTLED, EVENT_STREAM, ProviderRateLimited),
    "a damaged stream": (
        "converse",
        [frames(BEGUN), frames(SAID)],
        THROTTLED[:-1] + b"x",
        EVENT_STREAM,
        LlmCallFailed,
    ),
    "Ollama": (
        "ollama",
        [b"", ndjson(ollama.document({"content": "Hi"}, None))],
        ndjson({"error": "model runner has stopped"}),
        NDJSON,
        LlmCallFailed,
    ),
    "Azure": (
        "azure",
        [
            sse(azure.document(".chunk", [{"index": 0, "delta": {"role": "assistant", "content": ""}}])),
            sse(azure.document(".chunk", [{"index": 0, "delta": {"content": "Hi"}}])),
        ],
        sse({"error": {"message": "no", "code": "429"}}),
        "text/event-stream",
        ProviderRateLimited,
    ),
}


@pytest.mark.parametrize(("name", "before", "error", "kind", "expected"), BREAKING.values(), ids=BREAKING)
async def test_an_error_in_a_stream_is_one_behind_what_was_said(
    native: Native, name: str, before: list[bytes], error: bytes, kind: str, expected: type[ProviderError]
) -> None:
    for pieces in ([*before, error], [b"".join(before) + error]):
        outcome = await native.get(WIRES[name], Reply(pieces, kind), is_stream=True)
        assert outcome.message.text == "Hi"
        assert isinstance(outcome.failure, expected)


@pytest.mark.parametrize(("name", "before", "error", "kind", "expected"), BREAKING.values(), ids=BREAKING)
async def test_an_error_before_anything_was_said_is_answered_by_the_next_model(
    native: Native, name: str, before: list[bytes], error: bytes, kind: str, expected: type[ProviderError]
) -> None:
    native.provider.replies[name] = Reply([before[0], error] if before[0] else [error], kind)
    with pytest.raises(expected):
        await native.ask(name, is_stream=True)
    outcome = await native.ask(name, "other", is_stream=True)
    assert outcome.message.text == OTHER
    assert outcome.served.deployment_id == "other#1"
    assert outcome.usage == (await native.ask("other", is_stream=True)).usage


@ALL
@pytest.mark.parametrize("is_dropped", [False, True], ids=["ends", "breaks"])
async def test_a_stream_that_stops_before_its_end_is_broken(native: Native, wire: Wire, *, is_dropped: bool) -> None:
    outcome = await native.get(wire, replace(wire.stream(CUT), is_dropped=is_dropped), is_stream=True)
    assert outcome.message.text == "Hi"
    assert isinstance(outcome.failure, LlmCallFailed)


@ALL
async def test_a_connection_that_breaks_behind_a_whole_answer_does_not_matter(native: Native, wire: Wire) -> None:
    outcome = await native.get(wire, replace(wire.stream(HI), is_dropped=True), is_stream=True)
    assert outcome.message.text == "Hi"
    assert outcome.failure is None
    assert not outcome.usage.is_estimated


@pytest.mark.parametrize("name", ["anthropic", "invoke", "gemini", "converse", "ollama"])
async def test_a_whole_answer_in_the_place_of_a_stream_or_the_other_way_is_none(native: Native, name: str) -> None:
    wire = WIRES[name]
    with pytest.raises(LlmCallFailed):
        await native.get(wire, wire.stream(HI), is_stream=False)
    if name != "ollama":  # whose whole answer is the last line of a stream
        with pytest.raises(LlmCallFailed):
            await native.get(wire, wire.whole(HI), is_stream=True)


@pytest.mark.parametrize("name", ["cohere", "responses", "azure"])
async def test_those_that_are_read_here_may_answer_either_way(native: Native, name: str) -> None:
    wire = WIRES[name]
    whole_one = await native.get(wire, wire.stream(HI), is_stream=False)
    streamed = await native.get(wire, wire.whole(HI), is_stream=True)
    assert whole_one.message == streamed.message
    assert whole_one.usage == streamed.usage


@ALL
async def test_the_first_event_is_there_before_the_second_is_sent(native: Native, wire: Wire) -> None:
    first = {"converse": frames(BEGUN, SAID)}.get(wire.name, wire.stream(CUT).pieces[0])
    native.provider.replies[wire.name] = replace(wire.stream(CUT), pieces=[first], is_held=True)
    async with asyncio.timeout(PATIENCE_S):
        stream = await native.gateway.stream(make_call(wire.name))
        event, *_ = await anext(aiter(stream))
        assert getattr(event, "text", None) == "Hi"
        await stream.aclose()
        await native.provider.left.wait()


@ALL
async def test_a_client_that_leaves_before_the_first_event_closes_the_connection(native: Native, wire: Wire) -> None:
    begun = {"anthropic": sse(anthropic.events(HI)[0]), "converse": frames(BEGUN)}.get(wire.name, b"")
    native.provider.replies[wire.name] = replace(wire.stream(CUT), pieces=[begun] if begun else [], is_held=True)
    asking = asyncio.create_task(native.gateway.stream(make_call(wire.name)))
    async with asyncio.timeout(PATIENCE_S):
        await native.provider.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await native.provider.left.wait()


@ALL
async def test_a_client_that_leaves_while_it_waits_for_more_closes_the_connection(native: Native, wire: Wire) -> None:
    native.provider.replies[wire.name] = replace(wire.stream(CUT), is_held=True)
    async with asyncio.timeout(PATIENCE_S):
        stream = await native.gateway.stream(make_call(wire.name))
        await anext(aiter(stream))
        reading = asyncio.ensure_future(anext(aiter(stream)))
        await asyncio.wait([reading], timeout=0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await stream.aclose()
        await native.provider.left.wait()


async def test_an_answer_that_broke_off_inside_of_a_tool_call_keeps_what_came(native: Native) -> None:
    calls = Said(calls=(Call("get", {"a": 1}),), is_cut=True)
    for wire in WIRES.values():
        outcome = await native.get(wire, wire.stream(calls), is_stream=True, tools=[TOOL])
        assert isinstance(outcome.failure, LlmCallFailed)
        assert any(isinstance(event, ToolCallBegun) for event in outcome.events), wire.name
