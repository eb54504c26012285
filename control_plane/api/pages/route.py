"""`/docs` (Swagger UI), `/redoc` and their scripts, from this package: nothing is loaded from another host."""

from asyncio import to_thread

from fastapi import APIRouter, Request, Response

from control_plane.api.http.static_files import ASK_AGAIN, FOR_EVER, page_headers
from control_plane.api.pages.files import ADDRESS, NAMES, asset, page
from control_plane.errors import NotFound

router = APIRouter(include_in_schema=False)

PAGE_HEADERS = page_headers(
    {
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",  # both libraries write <style> elements while they run
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "blob:",  # Redoc's search
        "form-action": "'none'",
    }
)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI: read about each route, and try it with a key."""
    return (await to_thread(page, "docs.html")).response(request, ASK_AGAIN, PAGE_HEADERS)


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """Redoc: the same description, for reading."""
    return (await to_thread(page, "redoc.html")).response(request, ASK_AGAIN, PAGE_HEADERS)


@router.get(ADDRESS + "/{version}/{name}")
async def script_or_style(request: Request, version: str, name: str) -> Response:
    """A file of the pages. One of another version is sent, too, since replicas may differ, and not cached."""
    if name not in NAMES:
        raise NotFound
    found = await to_thread(asset, name)
    return found.response(request, FOR_EVER if version == found.version else ASK_AGAIN)
