"""The pure reader on its own: a case's bytes, cut anywhere, as one shape."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from control_plane.completion.events import Broken, Content, Event, Text, ToolCallBegun
from control_plane.completion.fold import Message, fold
from control_plane.gateway.reading.answer import AnswerReader
from control_plane.gateway.reading.blame import Blame, blame
from control_plane.gateway.reading.chunks import ChunkReader
from tests.corpus.apis import urls_of
from tests.corpus.cases import Call, Case, Form
from tests.corpus.shapes import Shape

CODES: Mapping[Blame, str] = {
    "context": "context_length_exceeded",
    "policy": "content_policy",
    "request": "invalid_request",
    "operator": "llm_call_failed",
    "provider": "llm_call_failed",
    "rate_limit": "provider_rate_limited",
    "overloaded": "provider_unavailable",
    "unavailable": "provider_unavailable",
    "timeout": "model_timeout",
}


def reader_of(case: Case) -> AnswerReader:
    tools = [tool["function"]["name"] for tool in case.asks.get("tools", ())]
    chunks = ChunkReader(answers=case.asks.get("n", 1), tools=tools, may_be_empty=case.history == "tool")
    return AnswerReader(chunks)


def read(reader: AnswerReader, pieces: Iterable[bytes]) -> list[Event]:
    """The events of an answer that comes in these pieces."""
    events: list[Event] = []
    for piece in pieces:
        events += reader.feed(piece)
        if reader.is_over:
            break
    return [*events, *reader.end()]


def contents_of(events: Sequence[Event]) -> list[Content]:
    return [event for event in events if not isinstance(event, Broken)]


def shape_of(reader: AnswerReader, events: Sequence[Event]) -> Shape:
    """What the events come to, the provider's counts included."""
    contents = contents_of(events)
    finishes = reader.chunks.finishes()
    messages = fold(contents, len(finishes))
    shapes = [_shape_of_message(message) for message in messages]
    broken = next((event for event in events if isinstance(event, Broken)), None)
    if broken is not None:
        first = shapes[0]
        return Shape(
            text=first.text, reasoning=first.reasoning, tool_calls=first.tool_calls, error=CODES[blame(broken.fault)]
        )
    usage = _counts_of(reader, contents)
    ended = [
        replace(
            shape,
            finish=finishes[number].reason,
            native_finish=finishes[number].native,
            stop_sequence=finishes[number].stop_sequence,
            usage=usage,
        )
        for number, shape in enumerate(shapes)
    ]
    first, *others = ended
    return replace(first, answers=tuple(others))


def _shape_of_message(message: Message) -> Shape:
    return Shape(
        text=message.text,
        reasoning=message.reasoning,
        refusal=message.refusal,
        tool_calls=tuple(Call(call.name, call.arguments, call.id, call.begun.kind) for call in message.tool_calls),
        pictures=tuple(picture.url for picture in message.pictures),
        citations=tuple(urls_of([dict(citation.annotation) for citation in message.citations])),
    )


def _counts_of(reader: AnswerReader, contents: Sequence[Content]) -> dict[str, int | None]:
    reported = reader.chunks.usage
    has_text = any(isinstance(event, Text | ToolCallBegun) for event in contents) or reader.chunks.has_content
    prompt, completion = reported.prompt_tokens(), reported.completion_tokens(has_content=has_text)
    usage = reported.usage(prompt_tokens=prompt or 0, completion_tokens=completion or 0, is_estimated=False)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def cut_at(data: bytes, border: int) -> list[bytes]:
    return [data[:border], data[border:]]


def forms(cases: Sequence[Case]) -> list[tuple[Case, Form]]:
    """Every answer in OpenAI's wire with a good status."""
    return [(case, form) for case in cases if case.wire == "openai" and case.status < 400 for form in case.forms]
