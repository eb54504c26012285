"""`GET /metrics`: this process's metrics, for Prometheus."""

import secrets

from fastapi import APIRouter, Request, Response

from control_plane.api.http.deps import Services, holder_of_key, secret_of
from control_plane.errors import InvalidKey
from control_plane.metrics import CONTENT_TYPE
from control_plane.services import Services as ServicesType
from control_plane.tenants.roles import PLATFORM, Permission

router = APIRouter()

ASK_EACH = "Several processes share this port. Each serves /metrics on its own port, from the next port on.\n"


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, services: Services) -> Response:
    """Counters since the process started, and gauges from the database, in Prometheus' text format.

    Counters of several processes on one port would jump: each process is scraped on its own port.
    """
    if request.scope["server"][1] in request.app.state.shared_ports:
        return Response(ASK_EACH, status_code=421, media_type="text/plain")
    await _require_key(request, services)
    await services.metrics_refresh.look()
    return Response(services.metrics.exposed(), media_type=CONTENT_TYPE)


async def _require_key(request: Request, services: ServicesType) -> None:
    """Raises: InvalidKey, where the settings have a metrics key, for any key but that one and the master key."""
    wanted = services.settings.metrics_key
    if wanted is None:
        return
    if secrets.compare_digest(secret_of(request).encode(), wanted.get_secret_value().encode()):
        return
    if not (await holder_of_key(request)).can(Permission.METRICS_READ, PLATFORM):
        raise InvalidKey("Metrics are for the metrics key or the master key, as `Authorization: Bearer …`.")
