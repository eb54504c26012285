"""Bytes of a provider into events, whatever the network made of them."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.reading import sse
from control_plane.gateway.reading.sse import DONE, EventTooLong, SseEvent, SseReader

BODY = 'data: {"a": "é€😀"}\n\n: quiet\n\nevent: x\ndata:[1]\r\n\r\ndata: "two words"\rid: 7\n\ndata: [DONE]'.encode()
EVENTS = [("", {"a": "é€😀"}), ("x", [1]), ("", "two words"), ("", None)]


def read(pieces: list[bytes]) -> list[SseEvent]:
    reader = SseReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.rest()


def documents(*lines: bytes) -> list[Any]:
    return [event.document for event in read([b"\n".join(lines)])]


@given(st.lists(st.integers(0, len(BODY)), max_size=40))
def test_the_events_are_the_same_however_they_were_cut(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(BODY)]
    events = read([BODY[start:end] for start, end in pairwise(borders)])
    assert [(event.name, event.document) for event in events] == EVENTS
    assert events[-1].data == DONE


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"data:", b"", b"data: 1"], [1]),
        ([b'data: {"a":', b"data: 2}", b""], [{"a": 2}]),
        ([b"data: 1", b"data: 2", b"data: 3"], [1, 2, 3]),
        ([b'data: "\\ud83d"', b'data: "\\ude00"', b""], ["\ud83d", "\ude00"]),
        ([b"\xef\xbb\xbfdata: 1", b""], [1]),
        ([b"data", b"data: 1", b""], [1]),
        ([b"retry: 5", b"id: 1", b": x", b"data: 1", b""], [1]),
        ([b"data: nonsense", b"", b"data: 1", b""], [None, 1]),
        ([b"data: NaN", b""], [pytest.approx(float("nan"), nan_ok=True)]),
    ],
)
def test_events_are_read_by_the_standard(lines: list[bytes], expected: list[Any]) -> None:
    assert documents(*lines) == expected


def test_the_name_of_an_event_is_its_own_alone() -> None:
    events = read([b'event: error\ndata: {"message": "x"}\n\ndata: {}\n\n'])
    assert [event.name for event in events] == ["error", ""]


def test_a_long_line_in_small_pieces_is_not_copied_again_and_again() -> None:
    word = b"x" * 1_000_000
    pieces = [word[place : place + 10] for place in range(0, len(word), 10)]
    assert [len(event.document) for event in read([b'data: "', *pieces, b'"\n'])] == [len(word)]


@pytest.mark.parametrize("body", [b"data: " + b"x" * 600, b"data: [\ndata: 1,\n" * 100])
def test_an_event_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    with pytest.raises(EventTooLong):
        read([body] * 6)
