"""`POST /api/v1/llm/respond`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from control_plane.api.http.cache_control import Fresh
from control_plane.api.http.cors import PATH, BrowserRoute, headers_for, preflight
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.responses import billed_headers, call_headers, rendered
from control_plane.api.http.sse import SseResponse
from control_plane.api.wires.job_headers import JobHeadersDep
from control_plane.api.wires.respond import schema as wire
from control_plane.api.wires.respond.events import RespondEvents
from control_plane.api.wires.respond.request import Conversation, conversation, tool_names
from control_plane.api.wires.respond.response import from_completion
from control_plane.api.wires.respond.schema import RespondBody
from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.requests import CallRequest
from control_plane.calls.tool_call_cache import CallOwner, RememberedToolCall
from control_plane.chat import ChatRequest, Completion
from control_plane.completion.fold import ToolCall
from control_plane.documents.parts import text_length
from control_plane.documents.service import Engine
from control_plane.errors import TooLarge
from control_plane.services import Services as ServicesType

JOB_TYPE = "respond"
"""Job type of requests that name none."""

FILE_PARSER = "file-parser"
"""The plugin that selects how PDFs are read."""

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.RespondError, "description": description}
    for status, description in (
        (400, "`invalid_request`: unparsable JSON, or rejected by the provider"),
        (401, "`auth`: missing, unknown, expired or revoked key"),
        (403, "`insufficient_credits`, `permission`, or `auth` for a page whose origin is not registered for the key"),
        (404, "`not_found`: the model or job does not exist"),
        (409, "`conflict`: the job is closed"),
        (413, "`invalid_request`: too large"),
        (422, "`invalid_request`: the request does not fit the schema"),
        (429, "`rate_limit`: ours or the provider's; see `retry_after_ms`"),
        (500, "`provider_error`, `internal`"),
        (503, "`provider_error`, `timeout`, `internal`; see `retry_after_ms`"),
    )
}
OK: dict[int | str, dict[str, Any]] = {
    200: {
        "model": wire.RespondAnswer,
        "description": "the answer, or with `stream` its events: `token`, `tool_call`, `done`, `error`, `[DONE]`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

router = APIRouter(tags=["respond"], route_class=BrowserRoute)
preflights = APIRouter()
preflights.add_api_route(PATH, preflight, methods=["OPTIONS"], include_in_schema=False)


@router.post(PATH, responses={**OK, **ERRORS}, summary="Respond to a conversation")
async def respond(
    body: RespondBody, principal: Caller, services: Services, request: Request, placing: JobHeadersDep, fresh: Fresh
) -> Response:
    """Continues a conversation, with one format for every provider: text, files, tools, streams.

    Each request is its own job, or a call of the job named by `X-Job-Id`. A failed call costs nothing.
    """
    place = placing.place(job_type=principal.job_type or JOB_TYPE)
    owner = CallOwner(principal.team(), principal.key_id, placing.user_id, is_anonymous=principal.is_publishable)
    parameters = body.given_parameters()
    talk = conversation(
        body.messages, recall=partial(services.recent_tools.recall, owner), tools=tool_names(parameters.get("tools"))
    )
    _bound(talk, services.settings.max_prompt_chars)
    order = CallRequest(
        ChatRequest(talk.messages, parameters),
        model_group=body.model,
        cache_control=fresh,
        render=_rendered,
    )
    engine, warnings = _engine(body.plugins or ())
    reading = services.documents.reading(principal, place, order, engine, warnings)
    if body.stream:
        stream = await cancel_on_disconnect(request, services.call_runner.stream(principal, place, order, reading))
        remember = partial(_remember, services, owner)
        events = RespondEvents(stream.served, [*talk.warnings, *warnings], remember)
        headers = headers_for(principal, call_headers(stream.call))
        return SseResponse(stream, events, headers=headers, keep_alive_s=services.settings.keep_alive_s)
    done = await services.call_runner.complete(principal, place, order, reading)
    _remember(services, owner, done.call.completion.message.tool_calls)
    answer: wire.RespondAnswer = done.call.rendered
    all_warnings = [*talk.warnings, *warnings, *answer.warnings]
    return rendered(
        answer.model_copy(update={"warnings": all_warnings}), headers=headers_for(principal, billed_headers(done))
    )


def _rendered(_call: InFlightCall, answer: Completion) -> wire.RespondAnswer:
    """The answer, before its call is recorded as succeeded. Raises: ValueError for what cannot be written as JSON."""
    made = from_completion(answer, ())
    made.model_dump_json()
    return made


def _remember(services: ServicesType, owner: CallOwner, calls: Sequence[ToolCall]) -> None:
    """Tool calls that a client may answer without repeating them."""
    for call in calls:
        said = RememberedToolCall(call.name, call.arguments or "{}")
        services.recent_tools.remember(owner, call.id, said)


def _engine(plugins: Sequence[wire.Plugin]) -> tuple[Engine | None, list[str]]:
    """The PDF engine, and the warnings about ignored plugins."""
    engine = None
    warnings = []
    for plugin in plugins:
        if plugin.id == FILE_PARSER:
            engine = plugin.pdf.engine if plugin.pdf else None
        else:
            warnings.append(f"plugins: '{plugin.id}' is not supported and was ignored; only '{FILE_PARSER}' is.")
    return engine, warnings


def _bound(talk: Conversation, max_chars: int) -> None:
    """Raises: TooLarge."""
    length = text_length(talk.messages)
    if length > max_chars:
        raise TooLarge(f"The messages have {length} characters of text; {max_chars} are allowed.")
