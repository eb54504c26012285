"""What is kept is what was answered: nothing gets lost on the way through a store."""

from dataclasses import replace

import pytest

from control_plane.cache.codecs import CHAT, COMPLETION, ENDPOINT, RecordedAnswer
from control_plane.cache.replay import ReplayedStream
from control_plane.chat import Completion, Ending, EndpointResponse, ServedBy
from control_plane.completion.events import (
    Audio,
    Citation,
    Picture,
    Reasoning,
    ReasoningDetail,
    Refusal,
    Text,
    ToolCallArguments,
    ToolCallBegun,
    ToolCallEnded,
)
from control_plane.completion.finish import finish_of
from control_plane.completion.usage import Usage
from control_plane.units import NanoUsd

SERVED = ServedBy("gpt-1", "gpt-4-turbo", "openai", "gpt-4", "relay")
USAGE = Usage(11, 10, is_estimated=True, cached_tokens=3, reasoning_tokens=2, service_tier="flex")
RECORDED = RecordedAnswer(
    [
        Reasoning("Hm."),
        Reasoning(signature="sig"),
        ReasoningDetail({"type": "reasoning.text", "text": "Hm."}),
        Text("Grüe", logprobs={"content": [1.5]}),
        Text("zi 👋", choice=1),
        Refusal("No."),
        ToolCallBegun(0, "call_1", "f", extra={"signature": "x"}),
        ToolCallArguments(0, "{}"),
        ToolCallEnded(0),
        Picture("data:image/png;base64,AA=="),
        Citation("https://x.example", "X", {"type": "url_citation"}),
        Audio("AA==", "Hi", "audio_1", 5),
    ],
    Ending({0: finish_of("stop"), 1: finish_of("length")}, USAGE, NanoUsd(31_000)),
    SERVED,
)


def again(recorded: RecordedAnswer) -> RecordedAnswer:
    return CHAT.read(CHAT.write(recorded))


def test_a_whole_answer_is_the_same_again_marked_and_free() -> None:
    free = replace(RECORDED, ending=replace(RECORDED.ending, cost=NanoUsd(0)))
    assert again(RECORDED) == free
    completion = COMPLETION.read(CHAT.write(RECORDED))
    assert (completion.is_cached, completion.cost, completion.usage) == (True, 0, USAGE)
    assert [message.text for message in completion.messages] == ["Grüe", "zi 👋"]
    unpriced = replace(RECORDED, ending=replace(RECORDED.ending, cost=None))
    assert again(unpriced).ending.cost == 0, "what is given again costs nothing, whatever it cost then"


def test_buffered_calls_and_streams_share_their_entries() -> None:
    completion = Completion.of(RECORDED.events, RECORDED.ending, SERVED)
    assert COMPLETION.name == CHAT.name
    assert COMPLETION.write(completion) == CHAT.write(RECORDED)


def test_a_plain_answer_is_the_same_again_marked_and_free() -> None:
    answer = EndpointResponse({"data": [{"embedding": [0.1, -1e-7], "index": 0}]}, USAGE, NanoUsd(5), SERVED)
    assert ENDPOINT.read(ENDPOINT.write(answer)) == replace(answer, cost=NanoUsd(0), is_cached=True)


async def test_a_stream_is_replayed_event_by_event() -> None:
    stream = ReplayedStream(again(RECORDED))
    assert [event async for events in stream for event in events] == RECORDED.events
    assert stream.served == SERVED
    assert await stream.settle() == (USAGE, 0)
    assert stream.finishes() == RECORDED.ending.finishes


@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        *(("stop", True), ("length", True), ("end_turn", True), ("max_tokens", True)),
        *(("content_filter", False), ("tool_calls", False), ("something new", False), (None, False)),
    ],
)
def test_only_answers_whose_provider_said_that_they_are_whole_are_kept(said: str | None, *, is_kept: bool) -> None:
    finish = finish_of(said, has_tool_calls=said == "tool_calls")
    answer = replace(RECORDED, ending=replace(RECORDED.ending, finishes={0: finish_of("stop"), 1: finish}))
    assert CHAT.is_whole(answer) is is_kept


def test_what_somebody_else_wrote_is_no_answer() -> None:
    for codec in (CHAT, COMPLETION, ENDPOINT):
        for kept in (b"", b"not json", b"{}", b"[1]", b"\xff", b'{"events": [["Os", {}]], "ending": {}, "served": {}}'):
            with pytest.raises(ValueError, match=r"."):
                codec.read(kept)
