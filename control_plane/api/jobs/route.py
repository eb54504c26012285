"""The Job API (documents S0 and S1): create and read jobs, one-call jobs. `calls.py`: calls in a job, and its
completion.
"""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from control_plane.api.http.cache_control import CacheControlDep
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.idempotency import NewSubject
from control_plane.api.http.job_ids import parse_job_id
from control_plane.api.http.openapi_errors import CALL_ERRORS, JOB_ERRORS, SSE
from control_plane.api.http.responses import call_headers, rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.jobs import views
from control_plane.api.jobs.chunks import streamed
from control_plane.api.jobs.requests import from_wire
from control_plane.api.wires.job_headers import ONE_CALL_TTL
from control_plane.calls.runner import JobRef
from control_plane.credits.reservations import Caps
from control_plane.errors import TeamNotOwned
from control_plane.ids import JobId, Subject
from control_plane.jobs.values import NewJob
from control_plane.schemas import jobs as wire
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import PLATFORM, Permission
from control_plane.units import nano_usd

router = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=JOB_ERRORS, route_class=AuthenticatedRoute)

JobPath = Annotated[str, Path(alias="job_id", description="id of the job")]


@router.post("/create", response_model=wire.JobCreated, summary="Create a job")
async def create(body: wire.CreateJob, principal: Caller, services: Services, subject: NewSubject) -> Response:
    """Opens a job and holds its credits: 403 `insufficient_credits` when the team has too few available.

    429 `rate_limited` when the team or its key has reached its limit of new jobs a minute.
    """
    own_team(principal, body.team_id)
    await services.limits.admit_job(principal)
    new = NewJob(
        job_type=body.job_type,
        user_id=body.user_id,
        metadata=body.metadata,
        model_group=body.model_group,
        ttl=timedelta(seconds=body.ttl_seconds or services.settings.job_ttl_s),
        caps=_caps(body),
        id=JobId(subject.id),
        is_claimed=subject.is_claimed,
    )
    job = await services.jobs.create(principal, new)
    return rendered(
        wire.JobCreated(job_id=str(job.id), status=job.status, created_at=job.created_at, team_id=job.team_id)
    )


@router.get("/{job_id}", response_model=wire.JobView, summary="Get a job")
async def get(job_id: JobPath, principal: Caller, services: Services) -> Response:
    """Returns the job's current state."""
    job, groups = await services.jobs.get_with_groups(principal, parse_job_id(job_id))
    return rendered(views.job_view(job, sorted(groups)))


@router.patch("/{job_id}/metadata", response_model=wire.MetadataView, summary="Update a job's metadata")
async def patch_metadata(job_id: JobPath, body: wire.MetadataPatch, principal: Caller, services: Services) -> Response:
    """Adds and replaces top-level keys; at most 10 KB altogether."""
    job = await services.jobs.merge_metadata(principal, parse_job_id(job_id), body.metadata)
    return rendered(wire.MetadataView(job_id=str(job.id), metadata=job.metadata_, updated_at=services.clock()))


@router.get("/{job_id}/costs", response_model=wire.JobCostsView, summary="Get a job's costs")
async def get_costs(job_id: JobPath, principal: Caller, services: Services) -> Response:
    """Our record of each call, with LiteLLM's report of each attempt.

    Administrators also see a provider's message about a failed call, where the settings store it.
    """
    found = await services.jobs.get_with_calls(principal, parse_job_id(job_id))
    logs = await services.spend.logs_of(found.job)
    has_text = principal.can(Permission.RECONCILIATION_READ, PLATFORM) and services.settings.keep_provider_error_text
    return rendered(views.cost_breakdown(found, logs, has_text=has_text))


@router.post(
    "/create-and-call",
    response_model=wire.CreateAndCallResult,
    responses=CALL_ERRORS,
    summary="Run a one-call job",
)
async def create_and_call(
    body: wire.CreateAndCall, principal: Caller, services: Services, subject: NewSubject, cache_control: CacheControlDep
) -> Response:
    """Opens a job, makes one call and completes the job. A failed call fails the job and costs nothing."""
    call_request = from_wire(body, max_prompt_chars=services.settings.max_prompt_chars, cache_control=cache_control)
    own_job = JobRef(_new_one_call_job(body, principal, subject))
    done = await services.call_runner.complete(principal, own_job, call_request)
    assert done.bill is not None, "a job of one call ends with it"
    job = done.bill.job
    assert job.completed_at is not None, "a closed job says when"
    result = wire.CreateAndCallResult(
        job_id=str(job.id),
        status=job.status,
        response=done.call.rendered,
        metadata=views.call_metadata(done.call),
        costs=views.costs(done.bill),
        completed_at=job.completed_at,
    )
    return rendered(result, headers=call_headers(done.call.call))


@router.post("/create-and-call-stream", responses={**CALL_ERRORS, **SSE}, summary="Run a one-call job as a stream")
async def create_and_call_stream(
    body: wire.CreateAndCall,
    principal: Caller,
    services: Services,
    request: Request,
    subject: NewSubject,
    cache_control: CacheControlDep,
) -> Response:
    """As `llm-call-stream`; the job is completed before `[DONE]`."""
    call_request = from_wire(body, max_prompt_chars=services.settings.max_prompt_chars, cache_control=cache_control)
    own_job = JobRef(_new_one_call_job(body, principal, subject))
    stream = await cancel_on_disconnect(request, services.call_runner.stream(principal, own_job, call_request))
    return streamed(stream, stream.call, keep_alive_s=services.settings.keep_alive_s)


def own_team(principal: Principal, team_id: str | None) -> None:
    """A team named in a body must be the key's. Raises: TeamNotOwned."""
    if team_id is not None and team_id != principal.team():
        raise TeamNotOwned(f"The key does not belong to team '{team_id}'.")


def _new_one_call_job(body: wire.CreateAndCall, principal: Principal, subject: Subject) -> NewJob:
    own_team(principal, body.team_id)
    return NewJob(
        job_type=body.job_type,
        user_id=body.user_id,
        metadata=body.job_metadata,
        ttl=ONE_CALL_TTL,
        caps=_caps(body),
        id=JobId(subject.id),
        is_resumed=subject.is_resumed,
        is_superseded=subject.is_superseded,
        is_claimed=subject.is_claimed,
    )


def _caps(body: wire.CreateJob | wire.CreateAndCall) -> Caps:
    return Caps(
        max_credits=body.max_credits,
        max_cost=None if body.max_cost_usd is None else nano_usd(body.max_cost_usd),
        is_clamped=body.on_cap == "clamp",
    )
