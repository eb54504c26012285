"""What is held of large requests and answers: a process has hundreds at once, and each may take minutes."""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
import pytest_asyncio

from control_plane.chat import ChatRequest, ProviderCall, SpendReport
from control_plane.gateway.litellm_stream import TOGETHER
from control_plane.gateway.pricing import prices
from control_plane.gateway.pricing.prices import PriceTag
from control_plane.gateway.router import Gateway
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.gateway.raw_provider import RawProvider
from tests.support.patience import PATIENCE_S

Text = str | bytes | bytearray

PICTURE_CHARS = 3_000_000
READ_BYTES = 16_384
PIECES, PIECE_CHARS = 1_000, 4_000


def event(**choice: object) -> bytes:
    document = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + orjson.dumps(document) + b"\n\n"


def said(text: str, **more: object) -> bytes:
    return event(index=0, delta={"content": text}, finish_reason=None, **more)


@pytest_asyncio.fixture(loop_scope="session")
async def raw() -> AsyncIterator[RawProvider]:
    async with RawProvider.start() as provider:
        yield provider


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(gateway_for: Opener, deploy: Deploy, raw: RawProvider) -> Gateway:
    return await gateway_for(deploy("ok", api_base=raw.url))


def large(size: int, known: Sequence[Text]) -> list[Text]:
    """Texts of at least this size that an object refers to, garbage too, beside those that are known."""
    found = {}
    for each in gc.get_objects():
        for held in gc.get_referents(each):
            if isinstance(held, str | bytes | bytearray) and len(held) >= size:
                found[id(held)] = held
    return [held for held in found.values() if not any(held is each for each in known)]


def kept() -> int:
    """Pieces that LiteLLM keeps."""
    gc.collect()
    return sum(type(each).__name__ == "ModelResponseStream" for each in gc.get_objects())


def about(picture: str) -> ProviderCall:
    image = {"type": "image_url", "image_url": {"url": picture}}
    return make_call("ok", messages=[{"role": "user", "content": [image]}])


@pytest.mark.parametrize("lane", ["litellm"], indirect=True)
async def test_a_picture_is_held_once_while_its_answer_comes(gateway: Gateway, raw: RawProvider) -> None:
    """In its message: not also as the JSON that was sent."""
    raw.pieces, raw.trickle = [said("It shows ")], said("a cat. ")
    stream = await gateway.stream(about(picture := "A" * PICTURE_CHARS))
    try:
        assert not large(PICTURE_CHARS, [picture])
    finally:
        await stream.aclose()


@pytest.mark.parametrize("lane", ["relay"], indirect=True)
async def test_a_picture_is_held_once_while_the_provider_takes_its_time(gateway: Gateway, raw: RawProvider) -> None:
    raw.trickle = b" "
    answering = asyncio.create_task(gateway.complete(about(picture := "A" * PICTURE_CHARS)))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await raw.asked.wait()
            while large(PICTURE_CHARS, [picture]):  # noqa: ASYNC110  # until its last piece has been written
                await asyncio.sleep(0)
    finally:
        answering.cancel()
        await asyncio.wait([answering])


@pytest.mark.parametrize("lane", ["litellm"], indirect=True)
async def test_a_long_answer_is_not_put_together_while_it_comes(gateway: Gateway, raw: RawProvider) -> None:
    """Its text is kept, for its bill; the whole of it again with every piece would be its size squared, and so many of
    LiteLLM's objects a hundred times the size of its words.
    """
    known = large(PIECES * PIECE_CHARS // 2, [])
    raw.pieces, raw.trickle = [said("word " * (PIECE_CHARS // 5))] * PIECES, said("more ")
    stream = await gateway.stream(make_call("ok"))
    try:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(PIECES):
                await anext(stream)
        assert not large(PIECES * PIECE_CHARS // 2, known)
        assert kept() < 2 * TOGETHER
    finally:
        await stream.aclose()


@pytest.mark.parametrize("lane", ["litellm"], indirect=True)
async def test_an_answer_that_nobody_has_to_count_loads_no_tokenizer(
    gateway_for: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 38 MB, read while every other call waits."""
    monkeypatch.delitem(sys.modules, (of_litellm := "litellm.litellm_core_utils.default_encoding"), raising=False)
    gateway = await gateway_for("ok")
    await gateway.complete(make_call("ok"))
    assert of_litellm not in sys.modules


@pytest.mark.parametrize("lane", ["litellm"], indirect=True)
async def test_litellm_counts_all_of_a_long_answer_that_its_provider_did_not_count(
    gateway: Gateway, raw: RawProvider, reports: list[SpendReport]
) -> None:
    """Its own report, of pieces that were put together meanwhile."""
    end = event(index=0, delta={}, finish_reason="stop") + b"data: [DONE]\n\n"
    apart = {"logprobs": "x" * READ_BYTES}  # what comes together is one piece to LiteLLM
    count = 4 * TOGETHER
    raw.pieces = [*(said(f"word {number} ", **apart) for number in range(count)), end]
    stream = await gateway.stream(make_call("ok"))
    assert len([each async for each in stream]) == count
    assert kept() < 2 * TOGETHER
    usage, _ = await stream.settle()
    await stream.aclose()
    await gateway.aclose()
    [report] = reports
    assert report.usage.completion_tokens == usage.completion_tokens
    assert usage.completion_tokens > count


async def test_a_long_answer_is_counted_without_being_put_together() -> None:
    """Hundreds of clients may leave their streams at the same moment."""
    tag = PriceTag("gpt-4o", "openai", "gpt-4o")
    request = ChatRequest([{"role": "user", "content": "hi"}], {})
    pieces = ["word " * (PIECE_CHARS // 5)] * PIECES
    await prices.estimate(tag, request, pieces)  # loads the tokenizer
    tracemalloc.start()
    try:
        usage = await prices.estimate(tag, request, pieces)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert usage.completion_tokens > PIECES * PIECE_CHARS / 6
    assert most < PIECES * PIECE_CHARS / 2
