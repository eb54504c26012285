"""`/guide`, its pages and its search, and `/llms.txt`: readable without a key, without scripts or another host."""

from asyncio import to_thread

from fastapi import APIRouter, Request, Response

from control_plane.api.guide_pages.content import ADDRESS
from control_plane.api.guide_pages.site import HTML, guide
from control_plane.api.http.static_files import ASK_AGAIN, FOR_EVER, page_headers
from control_plane.errors import NotFound

router = APIRouter(include_in_schema=False)

PAGE_HEADERS = page_headers(
    {
        "style-src": "'self'",
        "img-src": "data:",  # the empty icon
        "form-action": "'self'",
    }
)


@router.get(ADDRESS)
async def index(request: Request) -> Response:
    """The index, or the results of a search (`q`)."""
    query = request.query_params.get("q", "").strip()
    if not query:
        return await _file(request, ADDRESS)
    found = await to_thread(lambda: guide().results(query))
    return Response(found, headers={**PAGE_HEADERS, "Cache-Control": "no-store"}, media_type=HTML)


@router.get(ADDRESS + "/{name}")
async def page(request: Request, name: str) -> Response:
    """A page of the guide; its Markdown for a name that ends with `.md`."""
    return await _file(request, f"{ADDRESS}/{name}")


@router.get(ADDRESS + "/decisions/{name}")
async def decision(request: Request, name: str) -> Response:
    """A decision record."""
    return await _file(request, f"{ADDRESS}/decisions/{name}")


@router.get(ADDRESS + "/assets/{version}/guide.css")
async def style(request: Request, version: str) -> Response:
    """The style sheet. One of another version is sent, too, since replicas may differ, and not cached."""
    found = (await to_thread(guide)).style
    return found.response(request, FOR_EVER if version == found.version else ASK_AGAIN)


@router.get("/llms.txt")
async def for_machines(request: Request) -> Response:
    """Every page with one line of description."""
    return await _file(request, "/llms.txt")


async def _file(request: Request, path: str) -> Response:
    """Raises: NotFound."""
    found = (await to_thread(guide)).files.get(path)
    if found is None:
        raise NotFound
    return found.response(request, ASK_AGAIN, PAGE_HEADERS)
