"""Whatever a provider makes of an answer's JSON or its bytes, it is read and rendered without a crash, the same at every
border, and what broke is never whole.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.completion.events import Broken, Event, ToolCallArguments, ToolCallBegun, ToolCallEnded
from control_plane.completion.fold import fold
from control_plane.gateway.reading.answer import AnswerReader
from control_plane.gateway.reading.chunks import ChunkReader
from tests.corpus.apis import APIS
from tests.corpus.cases import all_cases
from tests.corpus.mutations import mutated
from tests.corpus.reading import bytewise, contents_of, forms, read, reader_of, shape_of
from tests.corpus.rendering import rendered
from tests.corpus.shapes import Shape

ANSWERS = {f"{case.name}-{form}": (case, form) for case, form in forms(all_cases())}

NAMES = [field.name for field in fields(Shape)]

EXAMPLES = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def check_events(reader: AnswerReader, events: Sequence[Event], answers: int) -> None:
    """What holds of the events of any answer."""
    assert not any(isinstance(event, Broken) for event in events[:-1]), "something follows a Broken"
    is_broken = bool(events) and isinstance(events[-1], Broken)
    assert is_broken == reader.chunks.is_broken
    begun: dict[int, list[str]] = {}
    for event in contents_of(events):
        assert 0 <= event.choice < answers, "an answer that nobody asked for"
        match event:
            case ToolCallBegun():
                assert event.number == len(begun.setdefault(event.choice, [])), "calls are numbered in their order"
                assert event.id, "an empty id"
                assert event.name, "an empty name"
                begun[event.choice].append(event.id)
            case ToolCallArguments() | ToolCallEnded():
                assert event.number < len(begun[event.choice]), "a piece of a call that has not begun"
            case _:
                pass
    assert all(len(set(ids)) == len(ids) for ids in begun.values()), "ids of one answer's calls are different"
    usage = reader.chunks.usage
    assert (usage.prompt_tokens() or 0) >= 0
    assert (usage.cost or 0) >= 0
    assert all(count >= 0 for count in usage.counts.values())


def check_renderings(reader: AnswerReader, events: Sequence[Event], asked: Mapping[str, Any]) -> None:
    """Every API can write it, in JSON and UTF-8, and says the same whole and as a stream."""
    contents = contents_of(events)
    is_broken = len(contents) < len(events)
    for api in APIS:
        if not api.can_ask(asked):
            continue
        streamed = api.read(rendered(api, "stream", reader, events)) if contents or not is_broken else None
        if is_broken:
            assert streamed is None or streamed.error, f"{api.name}: a broken answer ended as a whole one"
            continue
        assert streamed is not None, "only what broke at once has no stream"
        buffered = api.read(rendered(api, "whole", reader, events))
        assert comparable(api.view(buffered)) == comparable(api.view(streamed)), api.name


def comparable(shape: Shape) -> dict[str, Any]:
    """A shape without what an API's stream leaves out."""
    found = {name: getattr(shape, name) for name in NAMES if name not in ("usage", "cost_usd", "answers")}
    return {**found, "answers": [comparable(answer) for answer in shape.answers]}


@EXAMPLES
@given(st.sampled_from(sorted(ANSWERS)), st.integers(min_value=0, max_value=2**32))
def test_no_answer_of_a_provider_breaks_the_reader_or_an_api(name: str, seed: int) -> None:
    case, form = ANSWERS[name]
    data = mutated(case, form, seed)
    reader = reader_of(case)
    events = read(reader, [data])
    answers = case.asks.get("n", 1)
    check_events(reader, events, answers)
    check_renderings(reader, events, case.asks)
    other = reader_of(case)
    border = random.Random(seed).randint(0, len(data))
    pieces = bytewise(data) if len(data) < 1000 else [data[:border], data[border:]]
    cut_events = read(other, pieces)
    assert without_ids(shape_of(other, cut_events)) == without_ids(shape_of(reader, events)), (
        "another border, another answer"
    )


def without_ids(shape: Shape) -> dict[str, Any]:
    """Ids that a provider left out are made up, other ones each time."""
    calls = [(call.kind, call.name, call.arguments) for call in shape.tool_calls]
    answers = [without_ids(answer) for answer in shape.answers]
    return {**comparable(shape), "usage": shape.usage, "tool_calls": calls, "answers": answers}


@EXAMPLES
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_at_all_break_the_reader(pieces: list[bytes]) -> None:
    reader = AnswerReader(ChunkReader())
    events = read(reader, pieces)
    check_events(reader, events, 1)
    check_renderings(reader, events, {})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@EXAMPLES
@given(st.lists(TEXTS, min_size=1, max_size=6), st.lists(st.lists(TEXTS, min_size=1, max_size=4), max_size=4))
def test_text_and_arguments_arrive_as_they_were_sent(texts: list[str], calls: list[list[str]]) -> None:
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    for number, pieces in enumerate(calls):
        head = {"index": number, "id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": ""}}
        chunks.append({"choices": [{"index": 0, "delta": {"tool_calls": [head]}}]})
        chunks += [
            {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}}]}
            for piece in pieces
        ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    data = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
    reader = AnswerReader(ChunkReader(may_be_empty=True))
    (message,) = fold(contents_of(read(reader, [data])))
    assert message.text == "".join(texts)
    assert [call.arguments for call in message.tool_calls] == ["".join(pieces) or "{}" for pieces in calls]
