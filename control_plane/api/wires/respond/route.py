"""`POST /api/v1/llm/respond`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Response

from control_plane.api.http.cors import PATH, BrowserRoute, headers_for, preflight
from control_plane.api.wires.openapi import Responses
from control_plane.api.wires.respond.errors import ERRORS
from control_plane.api.wires.respond.request import ParsedRespond, parse_request
from control_plane.api.wires.respond.response import RespondEvents, from_completion
from control_plane.api.wires.respond.schema import RespondAnswer, RespondBody
from control_plane.api.wires.run_call import CallContext, CallContextDep, CallStream, Wire, run_call
from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.requests import CallRequest
from control_plane.calls.runner import CompletedCall, JobRef, Prepare
from control_plane.calls.tool_call_cache import CallOwner, RememberedToolCall
from control_plane.chat import Completion
from control_plane.completion.fold import ToolCall

JOB_TYPE = "respond"
"""Job type of requests that name none."""

OK: Responses = {
    200: {
        "model": RespondAnswer,
        "description": "the answer, or with `stream` its events: `token`, `tool_call`, `done`, `error`, `[DONE]`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

router = APIRouter(tags=["respond"], route_class=BrowserRoute)
preflights = APIRouter()
preflights.add_api_route(PATH, preflight, methods=["OPTIONS"], include_in_schema=False)


@dataclass(frozen=True, slots=True)
class RespondWire(Wire):
    """Reads the request's files, remembers the answer's tool calls, and reports what had to be guessed or ignored."""

    context: CallContext
    parsed: ParsedRespond
    owner: CallOwner

    def prepare(self, job_ref: JobRef, call_request: CallRequest) -> Prepare | None:
        """The reader of the files."""
        return self.context.services.documents.reading(
            self.context.principal, job_ref, call_request, self.parsed.engine, self.parsed.warnings
        )

    def render(self, call: InFlightCall, answer: Completion) -> RespondAnswer:  # noqa: ARG002 - ours, not in the answer
        """The answer. Raises: ValueError for what cannot be written as JSON."""
        rendered = from_completion(answer, ())
        rendered.model_dump_json()
        return rendered

    def write(self, result: CompletedCall) -> bytes:
        """The answer with all its warnings."""
        self._remember(result.call.completion.message.tool_calls)
        rendered: RespondAnswer = result.call.rendered
        warnings = [*self.parsed.warnings, *rendered.warnings]
        return rendered.model_copy(update={"warnings": warnings}).model_dump_json().encode()

    def events(self, stream: CallStream) -> RespondEvents:
        """The events of a stream."""
        return RespondEvents(stream.served, self.parsed.warnings, self._remember)

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Those that holders of the key may read."""
        return headers_for(self.context.principal, headers)

    def _remember(self, calls: Sequence[ToolCall]) -> None:
        """Tool calls that a client may answer without repeating them."""
        for call in calls:
            remembered = RememberedToolCall(call.name, call.arguments or "{}")
            self.context.services.recent_tools.remember(self.owner, call.id, remembered)


@router.post(PATH, responses={**OK, **ERRORS}, summary="Respond to a conversation")
async def respond(body: RespondBody, context: CallContextDep) -> Response:
    """Continues a conversation, with one format for every provider: text, files, tools, streams.

    Each request is its own job, or a call of the job named by `X-Job-Id`. A failed call costs nothing.
    """
    principal = context.principal
    owner = CallOwner(
        principal.team(), principal.key_id, context.job_headers.user_id, is_anonymous=principal.is_publishable
    )
    recall = partial(context.services.recent_tools.recall, owner)
    parsed = parse_request(body, recall=recall, job_type=principal.job_type or JOB_TYPE)
    return await run_call(context, parsed, RespondWire(context, parsed, owner))
