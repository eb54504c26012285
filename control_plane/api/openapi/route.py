"""`GET /openapi.json`."""

import hashlib
from asyncio import to_thread

import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from control_plane.api.openapi.document import document_of

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of this API, for pages and generators of clients."""
    app: FastAPI = request.app
    rendered: bytes | None = getattr(app.state, "openapi", None)
    if rendered is None:
        rendered = app.state.openapi = await to_thread(_rendered, app)
    etag = f'"{hashlib.sha256(rendered).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(rendered, headers=headers, media_type="application/json")


def _rendered(app: FastAPI) -> bytes:
    return orjson.dumps(document_of(app))
