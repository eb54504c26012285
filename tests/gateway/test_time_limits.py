"""A provider that goes on sending, and never gives an answer, is given up: no call stays open for ever."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
import pytest_asyncio

from control_plane.errors import CallTimedOut, LlmCallFailed, ModelTimeout, ProviderError
from control_plane.gateway.bounds import AnswerBounds
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.router import Gateway
from control_plane.gateway.streams import AnswerStream
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.gateway.raw_provider import RawProvider
from tests.support.patience import PATIENCE_S

STALLING = AnswerBounds(call_s=60, stall_s=0.3)
ENDLESS = AnswerBounds(call_s=0.5, stall_s=60)


def piece(text: str) -> bytes:
    delta = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [delta]}) + b"\n\n"


@pytest_asyncio.fixture(loop_scope="session")
async def raw() -> AsyncIterator[RawProvider]:
    async with RawProvider.start() as provider:
        yield provider


def trickling(raw: RawProvider, deploy: Deploy, pieces: Sequence[bytes], trickle: bytes, kind: str) -> Deployment:
    raw.pieces, raw.trickle, raw.content_type = pieces, trickle, kind
    return deploy("ok", name="trickling", api_base=raw.url, timeout=30)


async def until_left(raw: RawProvider) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await raw.left.wait()


async def failure_of(gateway: Gateway, *, is_stream: bool) -> ProviderError:
    call = make_call("trickling")

    async def whole_stream() -> None:
        async for _ in await gateway.stream(call):
            pass

    with pytest.raises(ProviderError) as failure:
        await (whole_stream() if is_stream else gateway.complete(call))
    return failure.value


@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "stream"])
async def test_a_provider_that_sends_only_blanks_is_given_up_and_another_one_answers(
    gateway_for: Opener, deploy: Deploy, raw: RawProvider, *, is_stream: bool
) -> None:
    trickle, kind = (b": wait\n\n", "text/event-stream") if is_stream else (b" ", "application/json")
    gateway = await gateway_for(trickling(raw, deploy, [b""], trickle, kind), "ok", bounds=STALLING)
    if is_stream:
        stream: AnswerStream = await gateway.stream(make_call("trickling", "ok"))
        assert [event async for events in stream for event in events]
        assert stream.served.model == "gpt-4o"
    else:
        assert (await gateway.complete(make_call("trickling", "ok"))).events
    await until_left(raw)
    failure = await failure_of(gateway, is_stream=is_stream)
    assert type(failure) is ModelTimeout
    assert failure.fault is not None
    assert (failure.fault.status, failure.fault.code) == (504, "stalled")


async def test_a_stream_that_stalls_behind_its_first_piece_has_used_what_came(
    gateway_for: Opener, deploy: Deploy, raw: RawProvider
) -> None:
    deployment = trickling(raw, deploy, [piece("one"), piece(" two")], b":\n\n", "text/event-stream")
    gateway = await gateway_for(deployment, bounds=STALLING)
    stream = await gateway.stream(make_call("trickling"))
    with pytest.raises(ModelTimeout):
        async for _ in stream:
            pass
    await until_left(raw)
    usage, cost = await stream.settle()
    assert (usage.completion_tokens, usage.is_estimated) == (2, True)
    assert cost == usage.prompt_tokens * 1_000 + 2 * 2_000


@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "stream"])
async def test_a_call_that_goes_on_for_ever_ends_when_its_time_is_over(
    gateway_for: Opener, deploy: Deploy, raw: RawProvider, *, is_stream: bool
) -> None:
    """Whatever is retried, and although a piece comes all the time."""
    trickle, kind = (piece("on"), "text/event-stream") if is_stream else (b" ", "application/json")
    gateway = await gateway_for(trickling(raw, deploy, [b""], trickle, kind), bounds=ENDLESS, num_retries=3)
    failure = await failure_of(gateway, is_stream=is_stream)
    assert isinstance(failure, CallTimedOut)
    assert failure.fault is not None
    assert failure.fault.code == "call_timeout"
    await until_left(raw)


@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "stream"])
async def test_an_answer_that_is_too_large_is_a_failure_before_it_is_all_in_memory(
    gateway_for: Opener, deploy: Deploy, raw: RawProvider, *, is_stream: bool
) -> None:
    trickle, kind = (piece("on" * 500), "text/event-stream") if is_stream else (b" " * 999, "application/json")
    bounds = AnswerBounds(call_s=30, stall_s=30, answer_bytes=5_000)
    gateway = await gateway_for(trickling(raw, deploy, [b"{" if not is_stream else b""], trickle, kind), bounds=bounds)
    failure = await failure_of(gateway, is_stream=is_stream)
    assert type(failure) is LlmCallFailed
    assert failure.fault is not None
    assert "too large" in failure.fault.text
    await until_left(raw)
