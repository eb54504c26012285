"""Whether the process lives, and whether it can serve."""

import logging

from fastapi import APIRouter, Response

from control_plane.api.call_responses import json_response
from control_plane.api.deps import Services
from control_plane.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

router = APIRouter(prefix="/health", tags=["operations"])


@router.get("/live", summary="Liveness")
async def live() -> dict[str, str]:
    """200 while the process answers at all; asks nothing else, so that a slow database restarts nobody."""
    return {"status": "ok"}


@router.get("/ready", summary="Readiness", responses={503: {"description": "do not send requests here now"}})
async def ready(services: Services) -> Response:
    """200 when the database takes a write of ours and the process is not stopping, else 503.

    `config` is `refused` while the YAML as it stands has mistakes: calls run on the version before, but a server that is
    started again would not start.
    """
    is_leaving = services.calls.is_draining or services.calls.is_stopping
    checks = {"database": "ok", "process": "stopping" if is_leaving else "ok"}
    try:
        await services.lease.check()
    except DatabaseUnavailable:
        checks["database"] = "unavailable"
    if services.connections.is_full:
        checks["database"] = "full"
    if checks["database"] != "ok":
        log.warning("not_ready", extra={"check": "database", "found": checks["database"]})
    is_ready = all(check == "ok" for check in checks.values())
    checks["config"] = "refused" if services.configuration.is_refused else "ok"  # the version in force serves
    body = {"status": "ok" if is_ready else "unavailable", "checks": checks}
    return json_response(body, status=200 if is_ready else 503, headers=None if is_ready else {"Retry-After": "2"})


router.add_api_route("", ready, summary="Readiness, by its short name")
