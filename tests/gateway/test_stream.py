"""Streamed answers: one model as the client sees it, exact bills, and no connection left behind."""

import asyncio
from collections.abc import Sequence

import pytest

from control_plane.chat import Lane, ServedBy
from control_plane.completion.events import Content, Text, ToolCallArguments, ToolCallBegun, ToolCallEnded
from control_plane.completion.finish import Finish
from control_plane.completion.usage import Usage
from control_plane.errors import LlmCallFailed, ModelTimeout, ProviderError
from control_plane.gateway.router import Gateway
from control_plane.gateway.streams import AnswerStream
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.gateway.test_complete import TEXT, TOOL, demo
from tests.support.provider import Provider


async def read(stream: AnswerStream) -> list[Content]:
    """All of a stream, settled as every API does."""
    try:
        return [event async for events in stream for event in events]
    finally:
        await stream.settle()


def text(events: Sequence[Content]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


async def test_a_stream_says_and_costs_what_the_buffered_answer_does(gateway_for: Opener) -> None:
    gateway = await gateway_for("ok")
    buffered = await gateway.complete(make_call("ok"))
    stream = await gateway.stream(make_call("ok"))
    events = await read(stream)
    assert events[0] == Text("one")
    assert len(events) == 10
    assert text(events) == buffered.message.text
    assert stream.finishes() == buffered.ending.finishes
    assert await stream.settle() == (buffered.usage, buffered.cost)
    assert stream.served == buffered.served


async def test_tool_calls_arrive_in_pieces(gateway_for: Opener) -> None:
    gateway = await gateway_for("tools")
    stream = await gateway.stream(make_call("tools", tools=[TOOL]))
    begun, *arguments, ended = await read(stream)
    assert begun == ToolCallBegun(0, "call_weather", "get_weather")
    assert ended == ToolCallEnded(0)
    pieces = [event.text for event in arguments if isinstance(event, ToolCallArguments)]
    assert pieces == ['{"ci', 'ty": "Par', 'is"}']
    assert stream.finishes() == {0: Finish("tool_calls", "tool_calls")}


async def test_a_stream_that_ends_before_its_finish_broke_off(gateway_for: Opener) -> None:
    gateway = await gateway_for("eof")
    stream = await gateway.stream(make_call("eof"))
    with pytest.raises(LlmCallFailed):
        await read(stream)


async def test_a_stream_without_usage_is_counted_and_marked(gateway_for: Opener) -> None:
    gateway = await gateway_for("nousage")
    stream = await gateway.stream(make_call("nousage"))
    await read(stream)
    assert stream.finishes()[0].reason == "stop"
    usage, cost = await stream.settle()
    assert usage == Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=10, is_estimated=True)
    assert cost == usage.prompt_tokens * 1_000 + 10 * 2_000


async def test_cached_tokens_cost_the_same_streamed(gateway_for: Opener, deploy: Deploy) -> None:
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_read_input_token_cost": 1e-7}
    gateway = await gateway_for(deploy("cached", info=prices))
    stream = await gateway.stream(make_call("cached"))
    await read(stream)
    assert await stream.settle() == (Usage(11, 10, cached_tokens=8), 3 * 1_000 + 8 * 100 + 10 * 2_000)


async def test_a_demo_deployment_streams_offline(gateway_for: Opener) -> None:
    gateway = await gateway_for(demo("litellm.InternalServerError", name="broken"), demo("Hello from the demo model"))
    stream = await gateway.stream(make_call("broken", "demo"))
    events = await read(stream)
    assert len(events) > 3
    assert text(events) == "Hello from the demo model"
    usage, cost = await stream.settle()
    assert usage.completion_tokens > 0
    assert cost


# Failures before the first piece: the client never learns of them.


@pytest.mark.parametrize("broken", [["e500"], ["rolebreak"], ["rolebreak", "e500"], ["rolebreak", "break0"]])
async def test_a_failure_before_content_is_answered_by_the_next_model(
    gateway_for: Opener, deploy: Deploy, provider: Provider, broken: list[str], lane: Lane
) -> None:
    # given a fallback ten times as expensive
    dear = deploy("ok", info={"input_cost_per_token": 1e-5, "output_cost_per_token": 2e-5})
    gateway = await gateway_for(*broken, dear)
    # when
    stream = await gateway.stream(make_call(*broken, "ok"))
    events = await read(stream)
    # then one model answered, whole, at its own price
    assert text(events) == TEXT
    assert stream.served == ServedBy("ok#1", "gpt-4o", provider="openai", model_name="ok", lane=lane)
    assert await stream.settle() == (Usage(11, 10), 310_000)
    assert [request.behaviour for request in provider.requests] == [*broken, "ok"]


async def test_after_a_fallback_before_content_missing_usage_is_still_counted_and_priced(
    gateway_for: Opener, deploy: Deploy
) -> None:
    dear = deploy("nousage", info={"input_cost_per_token": 1e-5, "output_cost_per_token": 2e-5})
    gateway = await gateway_for("rolebreak", dear)
    stream = await gateway.stream(make_call("rolebreak", "nousage"))
    await read(stream)
    usage, cost = await stream.settle()
    assert usage.is_estimated
    assert cost == usage.prompt_tokens * 10_000 + 10 * 20_000


async def test_a_client_that_leaves_after_such_a_fallback_pays_the_fallbacks_price(
    gateway_for: Opener, deploy: Deploy, provider: Provider
) -> None:
    dear = deploy("hold", info={"input_cost_per_token": 1e-5, "output_cost_per_token": 2e-5})
    gateway = await gateway_for("rolebreak", dear)
    stream = await gateway.stream(make_call("rolebreak", "hold"))
    await take(stream, 3)
    await stream.aclose()
    await provider.wait_closed("hold")
    usage, cost = await stream.settle()
    assert cost == usage.prompt_tokens * 10_000 + 3 * 20_000


async def test_when_every_model_fails_before_content_there_is_no_stream(gateway_for: Opener) -> None:
    gateway = await gateway_for("e500", "rolebreak")
    with pytest.raises(ProviderError):
        await gateway.stream(make_call("e500", "rolebreak"))


@pytest.mark.parametrize("models", [["long0"], ["rolebreak", "long0"]])
async def test_an_empty_answer_to_a_user_is_none(gateway_for: Opener, models: list[str]) -> None:
    gateway = await gateway_for(*models, "ok")
    with pytest.raises(LlmCallFailed):
        await gateway.stream(make_call(*models))
    # and a fallback may have one
    stream = await gateway.stream(make_call(*models, "ok"))
    assert text(await read(stream)) == TEXT


async def test_an_empty_answer_behind_the_results_of_tools_is_one(gateway_for: Opener) -> None:
    gateway = await gateway_for("long0")
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ]
    stream = await gateway.stream(make_call("long0", messages=said))
    assert await read(stream) == []
    assert await stream.settle() == (Usage(11, 10), 31_000)


@pytest.mark.parametrize("models", [["garbage"], ["rolebreak", "garbage"]])
async def test_a_body_that_is_no_stream_is_a_failure(gateway_for: Opener, models: list[str]) -> None:
    gateway = await gateway_for(*models)
    with pytest.raises(LlmCallFailed):
        await gateway.stream(make_call(*models))


# Failures after it: an error, never another model.


@pytest.mark.parametrize(("behaviour", "pieces"), [("break4", 4), ("errchunk", 3), ("break1", 1)])
async def test_a_failure_after_content_is_an_error_and_no_other_model_is_asked(
    gateway_for: Opener, provider: Provider, behaviour: str, pieces: int
) -> None:
    gateway = await gateway_for(behaviour, "ok")
    stream = await gateway.stream(make_call(behaviour, "ok"))
    assert len(await take(stream, pieces)) == pieces
    with pytest.raises(LlmCallFailed):
        await anext(stream)
    assert provider.count("ok") == 0
    # what was produced is known
    usage, cost = await stream.settle()
    assert usage.is_estimated
    assert usage.completion_tokens > 0
    assert cost == usage.prompt_tokens * 1_000 + usage.completion_tokens * 2_000
    # and nothing follows the error
    assert await read(stream) == []
    await stream.aclose()


async def test_a_stream_that_stalls_is_a_timeout(gateway_for: Opener, deploy: Deploy, provider: Provider) -> None:
    gateway = await gateway_for(deploy("hold", timeout=0.3), "ok")
    stream = await gateway.stream(make_call("hold", "ok"))
    with pytest.raises(ModelTimeout) as failure:
        await read(stream)
    assert failure.value.retry_after_s
    assert provider.count("ok") == 0
    await provider.wait_closed("hold")


# Clients that leave.


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_client_that_leaves_closes_the_provider_and_is_billed_what_came(
    gateway_for: Opener, provider: Provider, pieces: int
) -> None:
    gateway = await gateway_for("hold")
    stream = await gateway.stream(make_call("hold"))
    await take(stream, pieces)
    # when
    await stream.aclose()
    # then
    await provider.wait_closed("hold")
    usage, cost = await stream.settle()
    assert usage == Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=pieces, is_estimated=True)
    assert cost == usage.prompt_tokens * 1_000 + pieces * 2_000
    await stream.aclose()
    assert await read(stream) == []


async def test_a_client_that_leaves_at_the_last_piece_is_billed_it_all(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("ok")
    stream = await gateway.stream(make_call("ok"))
    await take(stream, 10)
    await stream.aclose()
    usage, _ = await stream.settle()
    assert usage.completion_tokens == 10
    # and behind it the provider's own numbers are there
    stream = await gateway.stream(make_call("ok"))
    await read(stream)
    await stream.aclose()
    assert await stream.settle() == (Usage(11, 10), 31_000)


async def test_a_client_that_leaves_before_reading_closes_the_provider(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("hold")
    stream = await gateway.stream(make_call("hold"))
    await stream.aclose()
    await provider.wait_closed("hold")
    usage, _ = await stream.settle()
    assert usage.completion_tokens == 1


async def test_a_reader_cancelled_while_waiting_closes_the_provider(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("hold")
    stream = await gateway.stream(make_call("hold"))
    task = asyncio.create_task(read(stream))
    await provider.wait_chunks("hold", 3)
    await asyncio.sleep(0.05)
    # closing beside the reader would leave the connection open; it says so
    with pytest.raises(RuntimeError, match="another task"):
        await stream.aclose()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stream.aclose()
    await provider.wait_closed("hold")
    usage, _ = await stream.settle()
    assert usage.completion_tokens == 3


@pytest.mark.parametrize("behaviour", ["timeout", "hold0", "rolehold"])
async def test_a_client_that_leaves_before_the_first_piece_closes_the_provider(
    gateway_for: Opener, provider: Provider, behaviour: str
) -> None:
    gateway = await gateway_for(behaviour, "ok")
    task = asyncio.create_task(gateway.stream(make_call(behaviour, "ok")))
    await provider.wait_requests(behaviour)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await provider.wait_closed(behaviour)
    assert provider.count("ok") == 0


async def test_leaving_at_any_moment_leaves_nothing_open(gateway_for: Opener, provider: Provider) -> None:
    # given clients that leave after every possible number of turns of the event loop
    gateway = await gateway_for("hold")
    for turns in range(0, 120, 3):
        task = asyncio.create_task(gateway.stream(make_call("hold")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            stream = await task
        except asyncio.CancelledError:
            continue
        await stream.aclose()
    # then every request that reached the provider was closed
    await asyncio.sleep(0.2)
    assert all(request.closed_by_client for request in provider.requests)


async def test_streams_leave_no_task_behind(gateway_for: Opener) -> None:
    gateway = await gateway_for("ok", "hold", "break4")
    await one_of_each(gateway)
    await asyncio.sleep(0.1)
    before = len(asyncio.all_tasks())
    for _ in range(5):
        await one_of_each(gateway)
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= before


async def test_a_long_prompt_is_counted_off_the_loop(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("hold")
    stream = await gateway.stream(make_call("hold", messages=[{"role": "user", "content": "word " * 200_000}]))
    await stream.aclose()
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    watcher = asyncio.create_task(watch())
    usage, _ = await stream.settle()
    watcher.cancel()
    assert usage.prompt_tokens > 190_000
    assert turns, "the event loop stood still"


async def take(stream: AnswerStream, pieces: int) -> list[Content]:
    events: list[Content] = []
    while len(events) < pieces:
        events += await anext(stream)
    return events


async def one_of_each(gateway: Gateway) -> None:
    stream = await gateway.stream(make_call("ok"))
    await read(stream)
    await stream.aclose()
    stream = await gateway.stream(make_call("hold"))
    await stream.aclose()
    stream = await gateway.stream(make_call("break4"))
    with pytest.raises(LlmCallFailed):
        await read(stream)
    await stream.aclose()


async def test_several_answers_arrive_side_by_side(gateway_for: Opener) -> None:
    gateway = await gateway_for("ok")
    stream = await gateway.stream(make_call("ok", n=2))
    events = await read(stream)
    for choice in (0, 1):
        assert text([event for event in events if event.choice == choice]) == TEXT
    assert {choice: finish.reason for choice, finish in stream.finishes().items()} == {0: "stop", 1: "stop"}
