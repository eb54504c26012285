"""`GET /openapi.json`."""

from asyncio import to_thread

import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from control_plane.api.http.static_files import ASK_AGAIN, StaticFile
from control_plane.api.openapi.document import document_of

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of this API, for pages and generators of clients."""
    app: FastAPI = request.app
    static_file: StaticFile | None = getattr(app.state, "openapi", None)
    if static_file is None:
        static_file = app.state.openapi = await to_thread(_rendered, app)
    return static_file.response(request, ASK_AGAIN)


def _rendered(app: FastAPI) -> StaticFile:
    return StaticFile.of(orjson.dumps(document_of(app)), "application/json")
