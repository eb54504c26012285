"""Answers nobody thought of, cut where nobody would cut them: both lanes read them alike."""

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.gateway.deployments import Deployment
from tests.gateway.conftest import INPUT_USD, OUTPUT_USD, make_call
from tests.gateway.raw_provider import RawProvider
from tests.gateway.test_lanes import Lanes, Streamed, completed, streamed, without_estimates

Json = dict[str, Any]

LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""LiteLLM's lane takes these for ends of lines and loses the event they stand in."""

WORDS = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="<{" + LINE_ENDS), min_size=1, max_size=12
)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "end_turn", "eos"])
USAGES = st.builds(
    lambda prompt, completion, cached: {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(prompt, cached)},
    },
    *(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(0, 50_000)),
)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def raw() -> AsyncIterator[RawProvider]:
    async with RawProvider.start() as provider:
        yield provider


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def lanes(raw: RawProvider) -> AsyncIterator[Lanes]:
    params = {"model": "openai/mine", "api_base": raw.url, "api_key": "sk-test"}
    prices = {"input_cost_per_token": INPUT_USD, "output_cost_per_token": OUTPUT_USD}
    opened = await Lanes.over(Deployment("raw#1", "raw", params, prices), disable_cooldowns=True)
    yield opened
    await opened.aclose()


def event(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mine", "choices": [choice]}
    return b"data: " + json.dumps({**whole, **more}, ensure_ascii=False).encode() + b"\n\n"


def stream_of(words: Sequence[str], finish: str, usage: Json | None) -> bytes:
    counted = [event({}, None, choices=[], usage=usage)] if usage else []
    said = [event({"content": word}) for word in words]
    return (
        b"".join([event({"role": "assistant", "content": ""}), *said, event({}, finish), *counted])
        + b"data: [DONE]\n\n"
    )


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    borders = [0, *sorted({place % len(body) for place in places}), len(body)]
    return [body[start:end] for start, end in pairwise(borders) if start < end]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(WORDS, min_size=1, max_size=8),
    finish=FINISHES,
    usage=USAGES,
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
async def test_streams_cut_anywhere(
    raw: RawProvider, lanes: Lanes, words: list[str], finish: str, usage: Json, places: list[int]
) -> None:
    raw.pieces = cut(stream_of(words, finish, usage), places)
    told = [without_estimates(await streamed(gateway, make_call("raw"))) for gateway in lanes]
    assert told[0] == told[1]
    assert isinstance(told[0], Streamed)
    assert told[0].usage.completion_tokens == usage["completion_tokens"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200),
    finish=FINISHES,
    usage=USAGES,
    more=st.fixed_dictionaries(
        {},
        optional={
            "refusal": st.none() | WORDS,
            "reasoning_content": WORDS,
            "annotations": st.just([]),
            "audio": st.none(),
            "strange": st.integers(),
        },
    ),
)
async def test_whole_answers(
    raw: RawProvider, lanes: Lanes, content: str | None, finish: str, usage: Json, more: Json
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mine", "usage": usage}
    raw.pieces = [json.dumps({**body, "choices": [choice]}).encode()]
    told = [await completed(gateway, make_call("raw")) for gateway in lanes]
    assert told[0] == told[1]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
async def test_an_event_of_a_megabyte_and_any_kind_of_newline(raw: RawProvider, lanes: Lanes, newline: bytes) -> None:
    whole = stream_of(["é" * 500_000, "€"], "stop", {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    whole = whole.replace(b"\n", newline)
    raw.pieces = [whole[place : place + 65_521] for place in range(0, len(whole), 65_521)]
    told = [await streamed(gateway, make_call("raw")) for gateway in lanes]
    assert isinstance(told[0], Streamed)
    assert len(str(told[0].said)) > 500_000
    assert without_estimates(told[0]) == without_estimates(told[1])


@pytest.mark.parametrize("is_dropped", [False, True])
@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: {\n\n"],
        [b"data: []\n\n"],
        [b'data: {"choices": 5}\n\n'],
        [b"data: \xff\xfe\n\n"],
        [event({"content": "one"}), b"data: {broken\n\n"],
        [event({"content": "one"}), b'data: {"error": "overloaded"}\n\n'],
        [event({"content": "one"}), b'data: {"error": {"message": "slow down", "code": 429}}\n\n'],
        [b": only comments\n\n"],
        [],
    ],
)
async def test_nonsense_is_a_failure_of_the_provider(
    raw: RawProvider, lanes: Lanes, pieces: list[bytes], *, is_dropped: bool
) -> None:
    """LiteLLM takes some of it for an answer; a client must not pay for half of one as if it were whole."""
    raw.pieces, raw.is_dropped = pieces, is_dropped
    try:
        told = await streamed(lanes.gateways["relay"], make_call("raw"))
    finally:
        raw.is_dropped = False
    assert not isinstance(told, Streamed) or told.failure is not None
