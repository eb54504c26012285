"""`GET /openapi.json`."""

from asyncio import to_thread

import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from control_plane.api.openapi.document import document_of
from control_plane.api.stored import ASK_AGAIN, Stored

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of this API, for pages and generators of clients."""
    app: FastAPI = request.app
    stored: Stored | None = getattr(app.state, "openapi", None)
    if stored is None:
        stored = app.state.openapi = await to_thread(_rendered, app)
    return stored.sent(request, ASK_AGAIN)


def _rendered(app: FastAPI) -> Stored:
    return Stored.of(orjson.dumps(document_of(app)), "application/json")
