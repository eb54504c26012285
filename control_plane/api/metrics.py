"""What this process has counted, for Prometheus."""

from fastapi import APIRouter, Request, Response

from control_plane.api.deps import House
from control_plane.metrics import CONTENT_TYPE

router = APIRouter()

ASK_EACH = "Several processes answer here. Ask each at a port of its own, from the next one on: /metrics there.\n"


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, house: House) -> Response:
    """Counters since the process started, and where the database stands, in Prometheus' text format.

    Where several processes take turns in answering, the counters would jump: each is asked at its own port.
    """
    if request.scope["server"][1] in request.app.state.shared_ports:
        return Response(ASK_EACH, status_code=421, media_type="text/plain")
    await house.standing.look()
    return Response(house.metrics.exposed(), media_type=CONTENT_TYPE)
