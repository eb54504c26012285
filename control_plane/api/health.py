"""Liveness and readiness."""

import logging

from fastapi import APIRouter, Response

from control_plane.api.http.deps import Services
from control_plane.api.http.responses import json_response
from control_plane.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

router = APIRouter(prefix="/health", tags=["operations"])


@router.get("/live", summary="Check liveness")
async def live() -> dict[str, str]:
    """200 while the process runs; it checks nothing else, so a slow database restarts no server."""
    return {"status": "ok"}


@router.get("/ready", summary="Check readiness", responses={503: {"description": "do not route requests here"}})
async def ready(services: Services) -> Response:
    """200 when the database accepts a write and the process is not stopping, else 503.

    `config` is `refused` while the YAML has mistakes: calls use the previous version, but a restarted server would not
    start.
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


router.add_api_route("", ready, summary="Check readiness (short path)")
