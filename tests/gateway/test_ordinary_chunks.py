"""A chunk of plain text takes a short way through the reader: what comes out is what the long way makes of it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.reading.chunks import ChunkReader

CONTENT = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "é", "\ud83d", "\ude00", "😀", 7, True]),
    st.lists(st.just({"type": "text", "text": "part"}), max_size=1),
)
CHOICE: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "index": st.sampled_from([0, 1, 2, None, True]),
        "delta": st.fixed_dictionaries({}, optional={"content": CONTENT}),
    },
    optional={
        "finish_reason": st.sampled_from([None, "stop", "error"]),
        "logprobs": st.sampled_from([None, {"content": []}]),
        "error": st.just({"message": "no"}),
    },
)
CHUNK: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", ""]), "model": st.just("m"), "choices": st.lists(CHOICE, max_size=2)},
    optional={
        "usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "service_tier": st.sampled_from([None, "default", "priority"]),
        "error": st.sampled_from([None, {"message": "no"}]),
    },
)


def read(chunks: list[dict[str, Any]]) -> Any:
    reader = ChunkReader(answers=2)
    events = [reader.take(chunk) for chunk in chunks]
    end = reader.end()
    return events, end, reader.finishes(), vars(reader.usage), reader.told_id, reader.has_content, reader.is_broken


@given(st.lists(CHUNK, max_size=6))
def test_the_short_way_and_the_long_way_agree(chunks: list[dict[str, Any]]) -> None:
    assert read(chunks) == read([{**chunk, "not an ordinary member": 1} for chunk in chunks])
