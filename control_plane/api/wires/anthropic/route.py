"""Anthropic's routes: messages, and token counts."""

from collections.abc import Mapping

from fastapi import APIRouter, Response

from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import json_response
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.wires.anthropic.errors import ERRORS
from control_plane.api.wires.anthropic.request import chat_request, parse_request, text_length
from control_plane.api.wires.anthropic.response import MessageEvents, message
from control_plane.api.wires.anthropic.schema import CountBody, MessagesBody
from control_plane.api.wires.openapi import STREAM
from control_plane.api.wires.prompt_size import require_prompt_size
from control_plane.api.wires.run_call import CallContextDep, CallStream, Wire, run_call
from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.requests import CallRequest
from control_plane.chat import Completion
from control_plane.logs import request_id

router = APIRouter(prefix="/v1/messages", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


class MessagesWire(Wire):
    """Of Anthropic's messages."""

    def render(self, call: InFlightCall, answer: Completion) -> bytes:
        """A whole message."""
        return message(call, answer)

    def events(self, stream: CallStream) -> MessageEvents:
        """The events of a stream."""
        return MessageEvents(str(stream.call.intent.call_id), stream.served.model, stream.input_usage)

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """With the request's id as Anthropic's SDKs read it."""
        return {**headers, "request-id": request_id.get() or ""}


@router.post("", responses=STREAM, summary="Create a message")
async def messages(body: MessagesBody, context: CallContextDep) -> Response:
    """As Anthropic's. Each call is its own job, or joins the job named by `X-Job-Id` or `metadata.job_id`."""
    return await run_call(context, parse_request(body), MessagesWire())


@router.post("/count_tokens", summary="Count tokens")
async def count_tokens(body: CountBody, principal: Caller, services: Services) -> Response:
    """Counts the messages' tokens locally for the group's first model: no provider call, no charge."""
    require_prompt_size(text_length(body), services.settings.max_prompt_chars)
    tokens = await services.calls.count(principal, CallRequest(chat_request(body), model_group=body.model))
    return json_response({"input_tokens": tokens})
