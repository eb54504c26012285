"""What each API makes of an answer, without HTTP: the renderers on their own, and their bytes read as a client does."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from control_plane.api.http.sse import EventRenderer
from control_plane.api.jobs.chunks import JobChunks
from control_plane.api.jobs.views import call_answer
from control_plane.api.wires.anthropic.response import MessageEvents, message
from control_plane.api.wires.openai.chat.response import CompletionChunks, completion
from control_plane.api.wires.openai.responses.response import ResponseEvents, whole
from control_plane.api.wires.openai.responses.schema import ResponsesBody
from control_plane.api.wires.respond.response import RespondEvents, from_completion
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Completion, Ending, ServedBy
from control_plane.completion.events import Broken, Content, Event
from control_plane.completion.usage import Usage
from control_plane.errors import ProviderError
from control_plane.gateway.reading.answer import AnswerReader
from control_plane.gateway.reading.blame import blame
from control_plane.ids import new_id
from control_plane.units import NanoUsd
from tests.corpus.apis import APIS, Api, Response
from tests.corpus.cases import Form
from tests.corpus.reading import CODES, contents_of

SERVED = ServedBy("deployment-1", "model", "provider", "name")
BODY = ResponsesBody(input="Go on.")

CALL = cast("InFlightCall", SimpleNamespace(intent=SimpleNamespace(call_id=new_id(), created_at=datetime.now(UTC))))
"""What the renderers see of a call: its id and its time."""

WHOLE: Mapping[str, Callable[[Completion], bytes]] = {
    "chat": lambda answer: completion(CALL, answer),
    "responses": lambda answer: whole(BODY, CALL, answer),
    "messages": lambda answer: message(CALL, answer),
    "respond": lambda answer: from_completion(answer, ()).model_dump_json().encode(),
    "job": lambda answer: job_result(answer),  # noqa: PLW0108 - it stands below
}

STREAMS: Mapping[str, Callable[[], EventRenderer]] = {
    "chat": lambda: CompletionChunks("id", "model", wants_usage=True),
    "responses": lambda: ResponseEvents(BODY, CALL, "model"),
    "messages": lambda: MessageEvents("id", "model", Usage(prompt_tokens=1)),
    "respond": lambda: RespondEvents(SERVED, (), lambda _: None),
    "job": lambda: JobChunks("id", "model", is_cached=False),
}


def job_result(answer: Completion) -> bytes:
    counts = f'"prompt_tokens":{answer.usage.prompt_tokens},"completion_tokens":{answer.usage.completion_tokens}'
    metadata = f'{{{counts},"cost_usd":0,"unpriced":true}}'
    return f'{{"response":{call_answer(CALL, answer).model_dump_json()},"metadata":{metadata}}}'.encode()


def ending_of(reader: AnswerReader, contents: Sequence[Content]) -> Ending:
    """As the product settles it; 1 in the place of a count that is missing."""
    reported = reader.chunks.usage
    usage = reported.usage(
        prompt_tokens=reported.prompt_tokens() or 1,
        completion_tokens=reported.completion_tokens(has_content=bool(contents)) or 0,
        is_estimated=False,
    )
    return Ending(reader.chunks.finishes(), usage, NanoUsd(0))


def rendered(api: Api, form: Form, reader: AnswerReader, events: Sequence[Event]) -> Response:
    """The API's response to an answer; only a stream can show one that broke."""
    contents = contents_of(events)
    broken = next((event for event in events if isinstance(event, Broken)), None)
    if form == "whole":
        assert broken is None, "a broken answer is never rendered whole"
        ending = ending_of(reader, contents)
        body = WHOLE[api.name](Completion.of(contents, ending, SERVED))
        return Response(200, {"Content-Type": "application/json"}, body)
    renderer = STREAMS[api.name]()
    written = b"".join(map(renderer.chunk, contents))
    written += renderer.ending(ending_of(reader, contents)) if broken is None else renderer.error(_error_of(broken))
    return Response(200, {"Content-Type": "text/event-stream"}, written)


def _error_of(broken: Broken) -> ProviderError:
    return ERRORS[CODES[blame(broken.fault)]]()


def _all(kind: type[Any]) -> list[type[Any]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _all(child))]


ERRORS: Mapping[str, type[ProviderError]] = {kind.code: kind for kind in reversed(_all(ProviderError))}

BY_NAME: Mapping[str, Api] = {api.name: api for api in APIS}
