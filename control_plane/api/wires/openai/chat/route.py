"""`POST /v1/chat/completions`."""

from dataclasses import dataclass

from fastapi import APIRouter, Response

from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.wires.openai.chat.request import parse_request
from control_plane.api.wires.openai.chat.response import CompletionChunks, completion
from control_plane.api.wires.openai.chat.schema import ChatCompletionBody
from control_plane.api.wires.openai.errors import ERRORS
from control_plane.api.wires.openapi import STREAM
from control_plane.api.wires.run_call import CallContextDep, CallStream, Wire, run_call
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Completion

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


@dataclass(frozen=True, slots=True)
class ChatWire(Wire):
    """`is_legacy`: as of `completion`. `wants_usage`: a stream ends with its usage."""

    is_legacy: bool
    wants_usage: bool

    def render(self, call: InFlightCall, answer: Completion) -> bytes:
        """A whole completion."""
        return completion(call, answer, is_legacy=self.is_legacy)

    def events(self, stream: CallStream) -> CompletionChunks:
        """The chunks of a stream."""
        call_id = str(stream.call.intent.call_id)
        return CompletionChunks(call_id, stream.served.model, wants_usage=self.wants_usage, is_legacy=self.is_legacy)


@router.post("/chat/completions", responses=STREAM, summary="Create a chat completion")
async def chat_completions(body: ChatCompletionBody, context: CallContextDep) -> Response:
    """As OpenAI's. Each call is its own job, or joins the job named by `X-Job-Id` or `metadata.job_id`.

    With `stream_options.include_usage` the last chunk also has `usage.cost_usd`.
    """
    wire = ChatWire(is_legacy=bool(body.functions) and not body.tools, wants_usage=body.wants_usage)
    return await run_call(context, parse_request(body), wire)
