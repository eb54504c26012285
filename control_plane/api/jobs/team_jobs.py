"""A team's jobs and usage."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.api.admin.shared import TeamPath
from control_plane.api.admin.usage import month_of, parts, summarize
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.openapi_errors import AUTH_ERRORS
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.jobs import views
from control_plane.errors import Unprocessable
from control_plane.ids import JobId, TeamId, parse_id
from control_plane.jobs.models import Job
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.store import JobFilter
from control_plane.schemas import jobs as wire

router = APIRouter(prefix="/api/teams/{team_id}", tags=["jobs"], responses=AUTH_ERRORS, route_class=AuthenticatedRoute)


@router.get("/jobs", response_model=wire.JobList, summary="List a team's jobs")
async def list_jobs(
    team_id: TeamPath, wanted: Annotated[wire.JobQuery, Query()], principal: Caller, services: Services
) -> Response:
    """Newest first, page by page with `next_cursor`."""
    chosen = JobFilter(
        status=_status_of(wanted.status),
        job_type=wanted.job_type,
        user_id=wanted.user_id,
        created_from=wanted.created_from,
        created_to=wanted.created_to,
    )
    after = None if wanted.cursor is None else _read_cursor(wanted.cursor)
    page = await services.jobs.list_jobs(
        principal, TeamId(team_id), chosen, limit=wanted.limit, offset=wanted.offset, after=after
    )
    jobs = [views.job_view(job, sorted(page.groups.get(JobId(job.id), ()))) for job in page.jobs]
    next_cursor = _write_cursor(page.jobs[-1]) if page.has_more else None
    return rendered(wire.JobList(team_id=team_id, jobs=jobs, limit=wanted.limit, next_cursor=next_cursor))


@router.get("/usage", response_model=wire.TeamUsage, summary="Get a team's monthly usage")
async def usage(
    team_id: TeamPath,
    principal: Caller,
    services: Services,
    period: Annotated[str | None, Query(description="YYYY-MM, in UTC; default: this month")] = None,
) -> Response:
    """Usage of the jobs created in that month: in sum, by job type, by model group, by day."""
    month = month_of(period, services.clock())
    team = TeamId(team_id)
    total, by_type = summarize(await services.jobs.usage(principal, [team], month.start, month.end))
    groups = await services.jobs.usage_by(principal, team, month.start, month.end, by="model_group")
    days = await services.jobs.usage_by(principal, team, month.start, month.end, by="day")
    answer = wire.TeamUsage(
        team_id=team_id,
        period=month.name,
        summary=total,
        job_types=by_type,
        model_groups=parts(groups),
        days=parts(days),
    )
    return rendered(answer)


def _status_of(text: str | None) -> JobStatus | None:
    """Raises: Unprocessable for a status that does not exist."""
    if text is None:
        return None
    try:
        return JobStatus(text.lower())
    except ValueError:
        known = ", ".join(status.value for status in JobStatus)
        raise Unprocessable(f"There is no job status '{text}'; there are {known}.") from None


def _write_cursor(job: Job) -> str:
    place = f"{job.created_at.isoformat()}|{job.id}"
    return base64.urlsafe_b64encode(place.encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, JobId]:
    """Raises: Unprocessable for a cursor we did not write."""
    try:
        moment, _, identity = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        created_at, job_id = datetime.fromisoformat(moment), parse_id(identity)
        if job_id is not None and created_at.tzinfo is not None:
            return created_at.astimezone(UTC), JobId(job_id)
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise Unprocessable("The cursor is not one of ours; begin again without one.")
