"""`POST /v1/responses`."""

from dataclasses import dataclass

from fastapi import APIRouter, Response

from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.wires.openai.errors import ERRORS
from control_plane.api.wires.openai.responses.request import parse_request
from control_plane.api.wires.openai.responses.response import ResponseEvents, whole
from control_plane.api.wires.openai.responses.schema import ResponsesBody
from control_plane.api.wires.openapi import STREAM
from control_plane.api.wires.run_call import CallContextDep, CallStream, Wire, run_call
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Completion

router = APIRouter(prefix="/v1/responses", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


@dataclass(frozen=True, slots=True)
class ResponsesWire(Wire):
    """A response repeats much of its request."""

    body: ResponsesBody

    def render(self, call: InFlightCall, answer: Completion) -> bytes:
        """A whole response."""
        return whole(self.body, call, answer)

    def events(self, stream: CallStream) -> ResponseEvents:
        """The events of a stream."""
        return ResponseEvents(self.body, stream.call, stream.served.model)


@router.post("", responses=STREAM, summary="Create a response")
async def responses(body: ResponsesBody, context: CallContextDep) -> Response:
    """As OpenAI's, without stored state: each request has the whole conversation.

    Each call is its own job, or joins the job named by `X-Job-Id` or `metadata.job_id`.
    """
    return await run_call(context, parse_request(body), ResponsesWire(body))
