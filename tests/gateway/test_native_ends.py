"""Why an answer ended is the provider's word for it, in every wire: known ones mean the same everywhere, others go through."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from control_plane.completion.finish import Finish
from control_plane.errors import LlmCallFailed
from tests.gateway.native_answers import WIRES, Said, Wire
from tests.gateway.native_gateways import Native
from tests.gateway.native_provider import JSON, NativeProvider, Reply, sse

ALL = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])

HI = Said(("Hi",))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def native() -> AsyncIterator[Native]:
    async with NativeProvider.start() as provider, Native.over(provider) as opened:
        yield opened


def reply_of(wire: Wire, said: Said, *, is_stream: bool) -> Reply:
    return wire.stream(said) if is_stream else wire.whole(said)


ENDS = [
    ("anthropic", "end_turn", "stop"),
    ("anthropic", "max_tokens", "length"),
    ("anthropic", "model_context_window_exceeded", "length"),
    ("anthropic", "refusal", "content_filter"),
    ("anthropic", "pause_turn", "stop"),
    ("invoke", "max_tokens", "length"),
    ("invoke", "refusal", "content_filter"),
    ("gemini", "STOP", "stop"),
    ("gemini", "MAX_TOKENS", "length"),
    *(("gemini", said, "content_filter") for said in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT")),
    *(("gemini", said, "content_filter") for said in ("SPII", "LANGUAGE", "IMAGE_SAFETY")),
    ("gemini", "OTHER", "stop"),
    ("converse", "end_turn", "stop"),
    ("converse", "stop_sequence", "stop"),
    ("converse", "max_tokens", "length"),
    ("converse", "model_context_window_exceeded", "length"),
    ("converse", "guardrail_intervened", "content_filter"),
    ("converse", "content_filtered", "content_filter"),
    ("ollama", "stop", "stop"),
    ("ollama", "length", "length"),
    ("cohere", "COMPLETE", "stop"),
    ("cohere", "STOP_SEQUENCE", "stop"),
    ("cohere", "MAX_TOKENS", "length"),
    ("cohere", "ERROR_TOXIC", "content_filter"),
    ("cohere", "ERROR_LIMIT", "length"),
    ("responses", "completed", "stop"),
    ("responses", "max_output_tokens", "length"),
    ("responses", "content_filter", "content_filter"),
    ("azure", "stop", "stop"),
    ("azure", "length", "length"),
    ("azure", "content_filter", "content_filter"),
]


@pytest.mark.parametrize(("name", "said", "reason"), ENDS)
@EITHER
async def test_each_providers_reasons_mean_what_openais_do(
    native: Native, name: str, said: str, reason: Any, *, is_stream: bool
) -> None:
    wire = WIRES[name]
    outcome = await native.get(wire, reply_of(wire, replace(HI, finish=said), is_stream=is_stream), is_stream=is_stream)
    assert outcome.finish == Finish(reason, said)
    assert outcome.failure is None


FAILED = [
    *(("gemini", said) for said in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "NO_IMAGE", "IMAGE_OTHER")),
    ("converse", "malformed_tool_use"),
    ("converse", "malformed_model_output"),
    ("cohere", "ERROR"),
    ("cohere", "TIMEOUT"),
    ("responses", "failed"),
    ("ollama", "load"),
    ("azure", "error"),
]


@pytest.mark.parametrize(("name", "said"), FAILED)
async def test_an_answer_that_its_provider_calls_failed_is_none(native: Native, name: str, said: str) -> None:
    wire = WIRES[name]
    failed = replace(HI, finish=said)
    with pytest.raises(LlmCallFailed):
        await native.get(wire, wire.whole(failed), is_stream=False)
    outcome = await native.get(wire, wire.stream(failed), is_stream=True)
    assert isinstance(outcome.failure, LlmCallFailed)
    assert outcome.message.text == "Hi"


@ALL
@EITHER
async def test_a_reason_that_nobody_knows_goes_through(native: Native, wire: Wire, *, is_stream: bool) -> None:
    new = replace(HI, finish="brand_new")
    outcome = await native.get(wire, reply_of(wire, new, is_stream=is_stream), is_stream=is_stream)
    assert outcome.finish == Finish("stop", "brand_new")
    assert not outcome.finish.is_known
    assert outcome.finish.native == "brand_new"


@pytest.mark.parametrize("name", ["anthropic", "invoke"])
@EITHER
async def test_the_stop_sequence_that_was_met_comes_through(native: Native, name: str, *, is_stream: bool) -> None:
    wire = WIRES[name]
    said = replace(HI, finish="stop_sequence", more={"stop_sequence": "END"})
    outcome = await native.get(wire, reply_of(wire, said, is_stream=is_stream), is_stream=is_stream)
    assert outcome.finish == Finish("stop", "stop_sequence", "END")


@pytest.mark.parametrize(("why", "said"), [("PROHIBITED_CONTENT", "PROHIBITED_CONTENT"), ("OTHER", "content_filter")])
@EITHER
async def test_a_prompt_that_gemini_blocks_is_filtered_and_costs_its_tokens(
    native: Native, why: str, said: str, *, is_stream: bool
) -> None:
    usage = {"promptTokenCount": 5, "totalTokenCount": 5}
    document = {"promptFeedback": {"blockReason": why}, "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}
    reply = Reply([sse(document)]) if is_stream else Reply([sse(document)[6:]], JSON)
    outcome = await native.get(WIRES["gemini"], reply, is_stream=is_stream)
    assert outcome.events == []
    assert outcome.finish == Finish("content_filter", said)
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (5, 0)
    assert not outcome.usage.is_estimated


@ALL
@EITHER
@pytest.mark.parametrize("reason", ["content_filter", "max_tokens"])
async def test_an_answer_may_be_empty_because_of_a_filter_or_its_length(
    native: Native, wire: Wire, reason: str, *, is_stream: bool
) -> None:
    empty = Said(finish=reason)
    outcome = await native.get(wire, reply_of(wire, empty, is_stream=is_stream), is_stream=is_stream)
    assert outcome.events == []
    assert outcome.finish.reason in ("content_filter", "length")


@ALL
@EITHER
async def test_an_empty_answer_without_such_a_reason_is_none(native: Native, wire: Wire, *, is_stream: bool) -> None:
    with pytest.raises(LlmCallFailed):
        await native.get(wire, reply_of(wire, Said(), is_stream=is_stream), is_stream=is_stream)
