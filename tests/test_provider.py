"""The stand-in keeps its promises: tests about money and streams lean on what it says it saw."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.provider_plans import PERSON, PLANS, USAGE

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        yield client


def chat(provider: Provider, behaviour: str) -> str:
    return f"{provider.url(behaviour)}/chat/completions"


def ask(*, stream: bool = False) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": MESSAGES, "stream": stream, "stream_options": {"include_usage": True}}


def parse(body: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_a_buffered_answer_says_ten_words_and_what_they_cost(provider: Provider, http: httpx.AsyncClient) -> None:
    answer = (await http.post(chat(provider, "ok"), json=ask(), headers={"Authorization": "Bearer sk-x"})).json()
    assert answer["choices"][0]["message"]["content"] == "one two three four five six seven eight nine ten"
    assert answer["usage"] == USAGE
    assert answer["model"] == "gpt-4o"
    seen = provider.requests[0]
    assert (seen.behaviour, seen.path) == ("ok", "/ok/v1/chat/completions")
    assert seen.body["messages"] == MESSAGES
    assert seen.headers["authorization"] == "Bearer sk-x"
    assert seen.finished
    assert not seen.closed_by_client


async def test_a_stream_has_role_words_finish_usage_and_done(provider: Provider, http: httpx.AsyncClient) -> None:
    role, *words, finish, usage, done = parse((await http.post(chat(provider, "ok"), json=ask(stream=True))).text)
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert len(words) == 10
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"], done) == ([], USAGE, "[DONE]")
    assert provider.requests[0].chunks_sent == 10


async def test_usage_is_streamed_only_when_asked_for_and_known(provider: Provider, http: httpx.AsyncClient) -> None:
    unasked = parse((await http.post(chat(provider, "ok"), json={**ask(stream=True), "stream_options": None})).text)
    unknown = parse((await http.post(chat(provider, "nousage"), json=ask(stream=True))).text)
    assert not any("usage" in event for event in unasked[:-1] + unknown[:-1])
    assert "usage" not in (await http.post(chat(provider, "nousage"), json=ask())).json()


async def test_tool_arguments_arrive_whole_or_in_pieces(provider: Provider, http: httpx.AsyncClient) -> None:
    whole = (await http.post(chat(provider, "tools"), json=ask())).json()["choices"][0]
    assert json.loads(whole["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert whole["finish_reason"] == "tool_calls"
    pieces = parse((await http.post(chat(provider, "tools"), json=ask(stream=True))).text)[1:4]
    texts = [piece["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for piece in pieces]
    assert json.loads("".join(texts)) == {"city": "Paris"}


@pytest.mark.parametrize("behaviour", [name for name, plan in PLANS.items() if plan.status != 200])
async def test_refusals_keep_their_status(provider: Provider, http: httpx.AsyncClient, behaviour: str) -> None:
    answer = await http.post(chat(provider, behaviour), json=ask())
    assert answer.status_code == PLANS[behaviour].status
    assert answer.headers.get("retry-after") == ("7" if behaviour == "e429" else None)


async def test_flaky_fails_as_often_as_it_says(provider: Provider, http: httpx.AsyncClient) -> None:
    statuses = [(await http.post(chat(provider, "flaky2"), json=ask())).status_code for _ in range(4)]
    assert statuses == [500, 500, 200, 200]
    assert provider.count("flaky2") == 4


@pytest.mark.parametrize(("behaviour", "chunks"), [("rolebreak", 0), ("break1", 1), ("break12", 12)])
async def test_a_broken_stream_breaks_after_its_chunks(
    provider: Provider, http: httpx.AsyncClient, behaviour: str, chunks: int
) -> None:
    body = bytearray()

    async def read() -> None:
        async with http.stream("POST", chat(provider, behaviour), json=ask(stream=True)) as answer:
            async for part in answer.aiter_bytes():
                body.extend(part)

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    assert len(parse(body.decode())) == chunks + 1
    assert provider.requests[0].chunks_sent == chunks
    assert not provider.requests[0].closed_by_client


async def test_an_error_event_or_a_bare_end_closes_the_stream(provider: Provider, http: httpx.AsyncClient) -> None:
    broken = parse((await http.post(chat(provider, "errchunk"), json=ask(stream=True))).text)
    assert "error" in broken[-1]
    assert len(broken) == 5
    cut = parse((await http.post(chat(provider, "eof"), json=ask(stream=True))).text)
    assert len(cut) == 11
    assert cut[-1]["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize(("behaviour", "chunks"), [("hold0", 0), ("rolehold", 0), ("hold", 3)])
async def test_a_client_that_leaves_a_held_stream_is_noticed(
    provider: Provider, http: httpx.AsyncClient, behaviour: str, chunks: int
) -> None:
    async with http.stream("POST", chat(provider, behaviour), json=ask(stream=True)):
        await provider.wait_chunks(behaviour, chunks)
    await provider.wait_closed(behaviour)
    assert provider.requests[0].chunks_sent == chunks
    assert not provider.requests[0].finished


async def test_a_client_that_leaves_before_the_headers_is_noticed(provider: Provider, http: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(http.post(chat(provider, "timeout"), json=ask()))
    await provider.wait_requests("timeout")
    waiting.cancel()
    await provider.wait_closed("timeout")


@pytest.mark.parametrize("behaviour", ["timeout", "hold0", "hold"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_released_hold_goes_on(
    provider: Provider, http: httpx.AsyncClient, behaviour: str, stream: bool
) -> None:
    waiting = asyncio.create_task(http.post(chat(provider, behaviour), json=ask(stream=stream)))
    await provider.wait_requests(behaviour)
    assert not provider.requests[0].finished
    provider.release(behaviour)
    assert (await waiting).status_code == 200
    assert provider.requests[0].finished


async def test_json_and_long_answers_are_as_said(provider: Provider, http: httpx.AsyncClient) -> None:
    answer = (await http.post(chat(provider, "json"), json=ask())).json()
    assert answer["choices"][0]["message"]["content"] == PERSON
    await http.post(chat(provider, "long50"), json=ask(stream=True))
    assert provider.requests[1].chunks_sent == 50


async def test_a_mistyped_behaviour_is_told_at_once(provider: Provider) -> None:
    with pytest.raises(KeyError):
        provider.url("e599")


@pytest.mark.slow
async def test_it_serves_as_a_process_of_its_own(http: httpx.AsyncClient) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.provider", stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        answer = await http.post(f"http://127.0.0.1:{port}/ok/v1/chat/completions", json=ask())
        assert answer.json()["usage"] == USAGE
    finally:
        process.terminate()
        await process.wait()
