"""Bytes of a provider into lines, whatever the network made of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway import sse_reader
from control_plane.gateway.sse_reader import LineTooLong, SseReader

BODY = 'data: {"a": "é€😀"}\n\n: quiet\n\nevent: x\ndata:[1]\r\n\r\ndata: "two words"\rid: 7\n\ndata: [DONE]'.encode()
LINES = ['{"a": "é€😀"}'.encode(), b"[1]", b'"two words"', b"[DONE]"]


def read(pieces: list[bytes]) -> list[bytes]:
    reader = SseReader()
    return [line for piece in pieces for line in reader.feed(piece)] + reader.rest()


@given(st.lists(st.integers(0, len(BODY)), max_size=40))
def test_it_says_the_same_however_it_was_cut(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(BODY)]
    assert read([BODY[start:end] for start, end in pairwise(borders)]) == LINES


def test_a_long_line_in_small_pieces_is_not_copied_again_and_again() -> None:
    word = b"x" * 1_000_000
    pieces = [word[place : place + 10] for place in range(0, len(word), 10)]
    assert read([b"data: ", *pieces, b"\n"]) == [word]


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_reader, "MAX_LINE_BYTES", 1000)
    with pytest.raises(LineTooLong):
        read([b"data: " + b"x" * 600, b"x" * 600])
