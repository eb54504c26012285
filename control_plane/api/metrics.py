"""What this process has counted, for Prometheus."""

from fastapi import APIRouter, Response

from control_plane.api.deps import House
from control_plane.metrics import CONTENT_TYPE

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(house: House) -> Response:
    """Counters since the process started, and where the database stands, in Prometheus' text format."""
    await house.standing.look()
    return Response(house.metrics.exposed(), media_type=CONTENT_TYPE)
