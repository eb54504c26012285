"""`POST /api/jobs/{id}/tokens`: creates a token with which a web page uses one job."""

from datetime import timedelta

from fastapi import APIRouter, Response

from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.job_ids import parse_job_id
from control_plane.api.http.openapi_errors import JOB_ERRORS
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.jobs.route import JobPath
from control_plane.errors import ModelGroupNotFound
from control_plane.jobs.tokens import TokenTerms
from control_plane.schemas import job_tokens as wire

router = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=JOB_ERRORS, route_class=AuthenticatedRoute)


@router.post("/{job_id}/tokens", response_model=wire.JobTokenCreated, summary="Create a job token")
async def create(
    job_id: JobPath, principal: Caller, services: Services, body: wire.CreateJobToken | None = None
) -> Response:
    """Creates a token (`jt-…`) for pages of `origins` and this job only: `llm-call`, `llm-call-stream`, and `complete`
    if `may_complete`. It expires after `ttl_seconds`, with the job, and with the key that made it; it is shown once.
    """
    given = body or wire.CreateJobToken()
    for name in given.model_groups or ():
        if name not in services.groups.catalog.groups:
            raise ModelGroupNotFound(group=name, known=await services.groups.usable(principal))
    terms = TokenTerms(
        timedelta(seconds=given.ttl_seconds), given.origins, given.model_groups, may_complete=given.may_complete
    )
    issued = await services.job_tokens.create(principal, parse_job_id(job_id), terms)
    made = issued.token
    answer = wire.JobTokenCreated(
        token=issued.secret,
        job_id=str(made.job_id),
        origins=made.origins,
        model_groups=made.model_groups,
        may_complete=made.may_complete,
        expires_at=made.expires_at,
    )
    return rendered(answer)
