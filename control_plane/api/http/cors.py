"""CORS: which pages may send requests, and the headers that let them.

A preflight carries no key, so it is allowed if any key allows its origin; the request itself is decided by its own key.
Pages of a registered origin may read responses, errors too.
"""

import re
from collections.abc import Mapping

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.api.http.deps import Services, holder_of_key
from control_plane.api.http.page_headers import LIMITS, shown, with_allowed_headers
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.errors import ControlPlaneError, JobTokenRefused, OriginRefused
from control_plane.ids import JobId, parse_id
from control_plane.services import Services as ServicesType
from control_plane.tenants.principal import Principal

PATH = "/api/v1/llm/respond"

EXPOSED = (
    *("X-Request-Id", "X-Call-Id", "X-Job-Id", "X-Cached", "X-Ignored-Fields", "Idempotency-Replayed", "Retry-After"),
    *LIMITS,
)
"""The headers of answers that pages may read."""

JOB_CALL = re.compile(r"/api/jobs/(?P<job_id>[^/]{1,100})/(llm-call|llm-call-stream|complete)")
"""The routes of a job that its tokens are for (`api/jobs/calls.py`)."""

PREFLIGHT_S = 600
MAX_ORIGIN_CHARS = 300
HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,1000}")


class BrowserRoute(AuthenticatedRoute):
    """A route that publishable keys may take, from the pages they are for."""

    async def identify(self, request: Request) -> Principal:
        """Authenticates the key and its origin. Raises: InvalidKey, JobTokenRefused, OriginRefused."""
        found = await holder_of_key(request)
        if found.grant is not None:
            raise JobTokenRefused
        found.require_origin(request.headers.get("origin"))
        request.state.principal = found
        return found

    def allowed(self, scope: Scope, principal: Principal) -> Scope:
        """For a key that is public, only the headers that pages may send."""
        return with_allowed_headers(scope) if principal.is_publishable else scope


def headers_for(principal: Principal, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of a call's response that holders of the key may read."""
    return shown(headers) if principal.is_publishable else headers


async def preflight(request: Request, services: Services) -> Response:
    """Answers a browser's CORS preflight. Raises: OriginRefused."""
    origin = request.headers.get("origin", "")
    if not await _is_registered(services, request.url.path, origin):
        raise OriginRefused(
            f"The origin '{origin[:MAX_ORIGIN_CHARS]}' is not registered for any key, or token of the job."
        )
    asked = request.headers.get("access-control-request-headers", "")
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": asked if HEADER_NAMES.fullmatch(asked) else "content-type, x-api-key",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    return Response(status_code=204, headers=headers)


class CorsMiddleware:
    """Lets pages of registered origins read the answers of the respond API, and those to calls of a job that their tokens
    are for. Plain ASGI, around the whole application.
    """

    def __init__(self, app: ASGIApp, *, services: ServicesType) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not _is_for_pages(scope["path"]):
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        is_readable = origin is not None and await self._is_readable(scope["path"], origin)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                if is_readable and origin is not None:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _is_readable(self, path: str, origin: str) -> bool:
        try:
            return await _is_registered(self._services, path, origin)
        except ControlPlaneError:  # the database is away: the request itself will report it, unread by the page
            return False


def _is_for_pages(path: str) -> bool:
    return path == PATH or JOB_CALL.fullmatch(path) is not None


async def _is_registered(services: ServicesType, path: str, origin: str) -> bool:
    """Whether pages of this origin may call this path, with any key or, in a job, with any token of the job."""
    if not 0 < len(origin) <= MAX_ORIGIN_CHARS:
        return False
    if path == PATH:
        return await services.keys.is_registered(origin)
    found = JOB_CALL.fullmatch(path)
    job_id = None if found is None else parse_id(found["job_id"])
    return job_id is not None and await services.job_tokens.is_registered(JobId(job_id), origin)
