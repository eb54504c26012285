"""`POST /v1/responses`."""

from functools import partial

from fastapi import APIRouter, Request, Response

from control_plane.api.http.cache_control import Fresh
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.responses import billed_headers, call_headers, json_bytes
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.http.sse import SseResponse
from control_plane.api.wires.job_headers import JobHeadersDep, job_in
from control_plane.api.wires.openai.chat.route import bound
from control_plane.api.wires.openai.responses.request import chat_request, text_length
from control_plane.api.wires.openai.responses.response import ResponseEvents, whole
from control_plane.api.wires.openai.responses.schema import ResponsesBody
from control_plane.api.wires.openapi import ERRORS, STREAM
from control_plane.calls.requests import CallRequest

router = APIRouter(prefix="/v1/responses", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


@router.post("", responses=STREAM, summary="Create a response")
async def responses(
    body: ResponsesBody, principal: Caller, services: Services, request: Request, placing: JobHeadersDep, fresh: Fresh
) -> Response:
    """As OpenAI's, without stored state: each request has the whole conversation.

    Each call is its own job, or joins the job named by `X-Job-Id` or `metadata.job_id`.
    """
    bound(text_length(body), services)
    job_id, metadata = job_in(body.metadata)
    place = placing.place(job_type="chat", job_id=job_id, user_id=body.user)
    order = CallRequest(
        chat_request(body),
        model_group=body.model,
        metadata=metadata,
        default_temperature=None,
        cache_control=fresh,
        render=partial(whole, body),
    )
    if body.stream:
        stream = await cancel_on_disconnect(request, services.call_runner.stream(principal, place, order))
        events = ResponseEvents(body, stream.call, stream.served.model)
        headers = call_headers(stream.call)
        return SseResponse(stream, events, headers=headers, keep_alive_s=services.settings.keep_alive_s)
    done = await services.call_runner.complete(principal, place, order)
    return json_bytes(done.call.rendered, headers=billed_headers(done))
