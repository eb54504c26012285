"""Anthropic's routes: messages, and token counts."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from control_plane.api.http.cache_control import Fresh
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.openapi_errors import ProviderFacts
from control_plane.api.http.responses import billed_headers, call_headers, json_bytes, json_response
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.http.sse import SseResponse
from control_plane.api.wires.anthropic import schema as wire
from control_plane.api.wires.anthropic.request import chat_request, text_length
from control_plane.api.wires.anthropic.response import MessageEvents, message
from control_plane.api.wires.job_headers import JobHeadersDep, job_in
from control_plane.api.wires.openai.chat.route import bound
from control_plane.api.wires.openapi import DESCRIPTIONS, STREAM
from control_plane.calls.requests import CallRequest
from control_plane.logs import request_id
from control_plane.schemas.base import Answer


class AnthropicFacts(Answer):
    """What went wrong: `code` for programs, `message` for people, more fields for some codes. `provider` is present
    when the provider reported an error.
    """

    type: str = Field(description="Anthropic's type of the error")
    message: str = Field(description="the mistake and its remedy, for people")
    code: str = Field(description="code of the error, for programs")
    provider: ProviderFacts | None = Field(
        default=None, description="the error that the model provider reported; absent when it reported none"
    )


class AnthropicErrorAnswer(Answer):
    """Every error of `/v1/messages`."""

    type: str = Field(description="`error`")
    error: AnthropicFacts = Field(description="what went wrong")
    request_id: str = Field(description="id of the request, as in `X-Request-Id`")


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": AnthropicErrorAnswer, "description": description}
    for status, description in (
        *DESCRIPTIONS,
        (529, "the provider is overloaded; retry after `Retry-After`"),
    )
}

router = APIRouter(prefix="/v1/messages", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


@router.post("", responses=STREAM, summary="Create a message")
async def messages(
    body: wire.MessagesBody,
    principal: Caller,
    services: Services,
    request: Request,
    placing: JobHeadersDep,
    fresh: Fresh,
) -> Response:
    """As Anthropic's. Each call is its own job, or joins the job named by `X-Job-Id` or `metadata.job_id`."""
    bound(text_length(body), services)
    job_id, metadata = job_in(body.metadata)
    user_id = metadata.pop("user_id", None)
    place = placing.place(job_type="chat", job_id=job_id, user_id=user_id if isinstance(user_id, str) else None)
    order = CallRequest(
        chat_request(body),
        model_group=body.model,
        metadata=metadata,
        default_temperature=None,
        cache_control=fresh,
        render=message,
    )
    identity = {"request-id": request_id.get() or ""}
    if body.stream:
        stream = await cancel_on_disconnect(request, services.call_runner.stream(principal, place, order))
        events = MessageEvents(str(stream.call.intent.call_id), stream.served.model, stream.input_usage)
        headers = {**call_headers(stream.call), **identity}
        return SseResponse(stream, events, headers=headers, keep_alive_s=services.settings.keep_alive_s)
    done = await services.call_runner.complete(principal, place, order)
    return json_bytes(done.call.rendered, headers={**billed_headers(done), **identity})


@router.post("/count_tokens", summary="Count tokens")
async def count_tokens(body: wire.CountBody, principal: Caller, services: Services) -> Response:
    """Counts the messages' tokens locally for the group's first model: no provider call, no charge."""
    bound(text_length(body), services)
    tokens = await services.calls.count(principal, CallRequest(chat_request(body), model_group=body.model))
    return json_response({"input_tokens": tokens})
