"""Calls in a job, and its completion: for the team's keys on servers, and for job tokens in web pages."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from control_plane.api.http.cache_control import CacheControlDep
from control_plane.api.http.cors import preflight
from control_plane.api.http.deps import Caller, Services, holder_of_key, refuse_pages
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.idempotency import NewSubject
from control_plane.api.http.job_ids import parse_job_id
from control_plane.api.http.openapi_errors import CALL_ERRORS, JOB_ERRORS, SSE
from control_plane.api.http.page_headers import shown, with_allowed_headers
from control_plane.api.http.responses import call_headers, json_bytes, rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.jobs import views
from control_plane.api.jobs.chunks import streamed
from control_plane.api.jobs.requests import from_wire
from control_plane.api.jobs.route import JobPath
from control_plane.errors import JobClosed, JobTokenRefused
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.values import Closing
from control_plane.schemas import jobs as wire
from control_plane.tenants.principal import Principal

COMPLETE = "/complete"

OF_THE_SERVER = frozenset({"cost_usd", "unpriced", "cached"})
"""Call metadata that pages do not get: the provider's charge, and whether the response was cached."""


class JobTokenRoute(AuthenticatedRoute):
    """A route of one job that its tokens may take, from the pages they are for."""

    async def identify(self, request: Request) -> Principal:
        """Authenticates. Raises: InvalidKey, PublishableKey, OriginRefused, JobTokenRefused, JobClosed."""
        found = await holder_of_key(request)
        if found.grant is None:
            refuse_pages(found)
        else:
            self._check(found, request)
        request.state.principal = found
        return found

    def allowed(self, scope: Scope, principal: Principal) -> Scope:
        """Of a page's request only the headers that pages may send count."""
        return scope if principal.grant is None else with_allowed_headers(scope)

    def _check(self, principal: Principal, request: Request) -> None:
        grant = principal.grant
        assert grant is not None, "a token"
        principal.require_origin(request.headers.get("origin"))
        if parse_job_id(request.path_params["job_id"]) != grant.job_id:
            raise JobTokenRefused("This token is for another job.")
        if self.path.endswith(COMPLETE):
            if not grant.may_complete:
                raise JobTokenRefused("This token may not complete its job; the server that made it can.")
        elif grant.closed_as is not None:
            raise JobClosed(status=grant.closed_as)


router = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=JOB_ERRORS, route_class=JobTokenRoute)

preflights = APIRouter(prefix="/api/jobs")
for _path in ("llm-call", "llm-call-stream", "complete"):
    preflights.add_api_route(f"/{{job_id}}/{_path}", preflight, methods=["OPTIONS"], include_in_schema=False)


@router.post("/{job_id}/llm-call", response_model=wire.CallResult, responses=CALL_ERRORS, summary="Make an LLM call")
async def llm_call(
    job_id: JobPath,
    body: wire.CallBody,
    principal: Caller,
    services: Services,
    subject: NewSubject,
    cache_control: CacheControlDep,
) -> Response:
    """One buffered call. A failed call costs nothing, so retrying is safe."""
    call_request = from_wire(
        body, max_prompt_chars=services.settings.max_prompt_chars, cache_control=cache_control, subject=subject
    )
    answered = await services.calls.complete(principal, parse_job_id(job_id), call_request)
    result = wire.CallResult(
        call_id=str(answered.call.intent.call_id),
        response=answered.rendered,
        metadata=views.call_metadata(answered),
    )
    headers = call_headers(answered.call)
    if principal.grant is None:
        return rendered(result, headers=headers)
    without: Any = {"metadata": OF_THE_SERVER}
    return json_bytes(result.model_dump_json(exclude=without).encode(), headers=shown(headers))


@router.post("/{job_id}/llm-call-stream", responses={**CALL_ERRORS, **SSE}, summary="Make a streaming LLM call")
async def llm_call_stream(
    job_id: JobPath,
    body: wire.CallBody,
    principal: Caller,
    services: Services,
    request: Request,
    subject: NewSubject,
    cache_control: CacheControlDep,
) -> Response:
    """OpenAI chunks as server-sent events; the last has the usage, then `[DONE]`.

    A failure before the first chunk is an HTTP status, a later one an `error` event.
    """
    call_request = from_wire(
        body, max_prompt_chars=services.settings.max_prompt_chars, cache_control=cache_control, subject=subject
    )
    stream = await cancel_on_disconnect(request, services.calls.stream(principal, parse_job_id(job_id), call_request))
    return streamed(
        stream, stream.call, keep_alive_s=services.settings.keep_alive_s, is_for_page=principal.grant is not None
    )


@router.post("/{job_id}/complete", response_model=wire.JobCompleted, summary="Complete a job")
async def complete(job_id: JobPath, body: wire.CompleteJob, principal: Caller, services: Services) -> Response:
    """Closes the job and bills it once; a repetition returns the same response and charges nothing.

    `completed` costs credits if a call succeeded; `failed` and `cancelled` cost none. Waits for running calls, 5 s by
    default. With a job token: `completed` only, without metadata; the response is `job_id`, `status` and
    `completed_at`.
    """
    status = JobStatus(body.status)
    if principal.grant is not None and status is not JobStatus.COMPLETED:
        raise JobTokenRefused(
            "A token completes its job with the status 'completed'; others are for the team's server."
        )
    if principal.grant is not None and (body.metadata or body.error_message is not None):
        raise JobTokenRefused(
            "A token completes its job as it is; metadata and error messages are for the team's server."
        )
    closing = Closing(status, metadata=body.metadata, error_message=body.error_message)
    completed = views.completed(await services.jobs.complete(principal, parse_job_id(job_id), closing))
    if principal.grant is None:
        return rendered(completed)
    return json_bytes(completed.model_dump_json(include={"job_id", "status", "completed_at"}).encode())
