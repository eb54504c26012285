"""What is kept is what was answered: nothing gets lost on the way through a store."""

from dataclasses import replace
from typing import get_args

import pytest

from control_plane.cache.forms import PLAIN, STREAM, WHOLE, HeardStream
from control_plane.cache.kept_stream import KeptStream
from control_plane.chat import Answer, Chunk, Ending, PlainAnswer, Served
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.units import NanoUsd

SERVED = Served("gpt-1", "gpt-4-turbo", "openai", "gpt-4", "relay")
USAGE = Usage(11, 10, is_estimated=True, cached_tokens=3, reasoning_tokens=2)
ANSWER = Answer(
    "Grüezi 👋",
    [],
    "stop",
    [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Grüezi 👋"},
            "finish_reason": "stop",
            "logprobs": {"c": []},
        }
    ],
    USAGE,
    NanoUsd(31_000),
    SERVED,
)
HEARD = HeardStream(
    [
        Chunk({"role": "assistant"}),
        Chunk({"content": "Grüe"}, logprobs={"content": [1.5]}),
        Chunk({"content": "zi"}, index=1),
    ],
    Ending({0: "stop", 1: "length"}, USAGE, NanoUsd(31_000)),
    SERVED,
)


def test_a_whole_answer_is_the_same_again_marked_and_free() -> None:
    assert WHOLE.read(WHOLE.written(ANSWER)) == replace(ANSWER, cost=NanoUsd(0), is_cached=True)
    unpriced = replace(ANSWER, cost=None)
    assert WHOLE.read(WHOLE.written(unpriced)).cost == 0, "what is given again costs nothing, whatever it cost then"


def test_a_plain_answer_is_the_same_again_marked_and_free() -> None:
    answer = PlainAnswer({"data": [{"embedding": [0.1, -1e-7], "index": 0}]}, USAGE, NanoUsd(5), SERVED)
    assert PLAIN.read(PLAIN.written(answer)) == replace(answer, cost=NanoUsd(0), is_cached=True)


async def test_a_stream_is_heard_again_piece_by_piece() -> None:
    stream = KeptStream(STREAM.read(STREAM.written(HEARD)))
    assert [chunk async for chunk in stream] == HEARD.chunks
    assert stream.served == SERVED
    assert await stream.settle() == (USAGE, 0)
    assert stream.ending(USAGE).finish_reasons == {0: "stop", 1: "length"}


@pytest.mark.parametrize("reason", get_args(FinishReason))
def test_only_answers_that_came_to_a_usual_end_are_kept(reason: FinishReason) -> None:
    is_usual = reason in ("stop", "length")
    assert WHOLE.is_usual(replace(ANSWER, choices=[*ANSWER.choices, {"finish_reason": reason}])) is is_usual
    assert (
        STREAM.is_usual(replace(HEARD, ending=replace(HEARD.ending, finish_reasons={0: "stop", 1: reason}))) is is_usual
    )


def test_what_somebody_else_wrote_is_no_answer() -> None:
    for form in (WHOLE, PLAIN, STREAM):
        for kept in (b"", b"not json", b"{}", b"[1]", b"\xff"):
            with pytest.raises(ValueError, match=r"."):
                form.read(kept)
