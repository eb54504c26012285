"""OpenAI's routes: chat completions, and endpoints with a single response."""

from functools import partial

from fastapi import APIRouter, Request, Response

from control_plane.api.http.cache_control import Fresh
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.responses import billed_headers, call_headers, json_bytes
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.http.sse import SseResponse
from control_plane.api.wires.chat_messages import chat_messages
from control_plane.api.wires.job_headers import JobHeadersDep, job_in
from control_plane.api.wires.openai import schema as wire
from control_plane.api.wires.openai.chat.response import CompletionChunks, completion
from control_plane.api.wires.openai.endpoints import convert as plain
from control_plane.api.wires.openapi import ERRORS, STREAM
from control_plane.cache.rules import CacheControl
from control_plane.calls.requests import CallRequest
from control_plane.chat import ChatRequest, EndpointRequest
from control_plane.errors import TooLarge
from control_plane.services import Services as ServicesType
from control_plane.tenants.principal import Principal

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


@router.post("/chat/completions", responses=STREAM, summary="Create a chat completion")
async def chat_completions(
    body: wire.ChatCompletionBody,
    principal: Caller,
    services: Services,
    request: Request,
    placing: JobHeadersDep,
    fresh: Fresh,
) -> Response:
    """As OpenAI's. Each call is its own job, or joins the job named by `X-Job-Id` or `metadata.job_id`.

    With `stream_options.include_usage` the last chunk also has `usage.cost_usd`.
    """
    bound(sum(message.text_length() for message in body.messages), services)
    job_id, metadata = job_in(body.metadata)
    place = placing.place(job_type="chat", job_id=job_id, user_id=body.user)
    is_legacy = bool(body.functions) and not body.tools
    order = CallRequest(
        ChatRequest(chat_messages(body.messages), body.given_parameters()),
        model_group=body.model,
        metadata=metadata,
        default_temperature=None,
        cache_control=fresh,
        render=partial(completion, is_legacy=is_legacy),
    )
    if body.stream:
        stream = await cancel_on_disconnect(request, services.call_runner.stream(principal, place, order))
        call_id = str(stream.call.intent.call_id)
        chunks = CompletionChunks(call_id, stream.served.model, wants_usage=body.wants_usage, is_legacy=is_legacy)
        headers = call_headers(stream.call)
        return SseResponse(stream, chunks, headers=headers, keep_alive_s=services.settings.keep_alive_s)
    done = await services.call_runner.complete(principal, place, order)
    return json_bytes(done.call.rendered, headers=billed_headers(done))


@router.post("/embeddings", summary="Create embeddings")
async def embeddings(
    body: wire.EmbeddingsBody, principal: Caller, services: Services, placing: JobHeadersDep, fresh: Fresh
) -> Response:
    """As OpenAI's, with `encoding_format` and `dimensions`. Billed as a call."""
    return await _ask(plain.embeddings(body), body, principal, services, placing, fresh)


@router.post("/moderations", summary="Create a moderation")
async def moderations(
    body: wire.ModerationsBody, principal: Caller, services: Services, placing: JobHeadersDep, fresh: Fresh
) -> Response:
    """As OpenAI's. Billed as a call."""
    return await _ask(plain.moderations(body), body, principal, services, placing, fresh)


@router.post("/rerank", summary="Rerank documents")
async def rerank(
    body: wire.RerankBody, principal: Caller, services: Services, placing: JobHeadersDep, fresh: Fresh
) -> Response:
    """Ranks documents by their relevance to a query, as Cohere's. Billed as a call."""
    return await _ask(plain.rerank(body), body, principal, services, placing, fresh)


async def _ask(
    request: EndpointRequest,
    body: wire.EmbeddingsBody | wire.ModerationsBody | wire.RerankBody,
    principal: Principal,
    services: ServicesType,
    placing: JobHeadersDep,
    fresh: CacheControl,
) -> Response:
    bound(sum(map(len, request.texts)), services)
    job_id, metadata = job_in(body.metadata)
    place = placing.place(job_type=request.endpoint, job_id=job_id, user_id=body.user)
    render = partial(plain.rendered, request.endpoint, body)
    order = CallRequest(request, model_group=body.model, metadata=metadata, cache_control=fresh, render=render)
    done = await services.call_runner.complete(principal, place, order)
    return json_bytes(done.call.rendered, headers=billed_headers(done))


def bound(chars: int, services: ServicesType) -> None:
    """Raises: TooLarge for more text than the server takes."""
    if chars > services.settings.max_prompt_chars:
        raise TooLarge(f"The request has {chars} characters of text; {services.settings.max_prompt_chars} are allowed.")
