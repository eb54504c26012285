"""Browsers: whose pages may ask, and what they are told so that they may (CORS).

A page asks in two steps. Its preflight carries no key, so it is answered by whether any key may be used from its origin;
the request itself is decided by its own key. Answers to a registered origin may be read by its pages, errors too.
"""

import re
from collections.abc import Mapping

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.api.bodies import StrictRoute
from control_plane.api.deps import House, holder_of_key
from control_plane.errors import HouseError, OriginRefused
from control_plane.house import House as HouseType
from control_plane.tenants.principal import Principal

PATH = "/api/v1/llm/respond"

EXPOSED = (
    *("X-Request-Id", "X-Call-Id", "X-Job-Id", "X-Cached", "X-Ignored-Fields", "Idempotency-Replayed", "Retry-After"),
    *(f"X-RateLimit-{what}-{of}" for what in ("Limit", "Remaining", "Reset") for of in ("Requests", "Tokens")),
)
"""The headers of answers that pages may read."""

MONEY = frozenset({"X-Credits-Remaining", "X-Credits-Charged", "X-Call-Cost-Usd"})
"""The headers that are not for everybody who opens a page."""

PREFLIGHT_S = 600
MAX_ORIGIN_CHARS = 300
HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,1000}")


class BrowserRoute(StrictRoute):
    """A route that publishable keys may take, from the pages they are for."""

    async def identify(self, request: Request) -> Principal:
        """Who asks, from where. Raises: InvalidKey, OriginRefused."""
        found = await holder_of_key(request)
        found.may_be_used_from(request.headers.get("origin"))
        request.state.principal = found
        return found


def headers_for(who: Principal, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of a call's answer, as far as whoever has the key may see them."""
    return {name: value for name, value in headers.items() if not (who.is_publishable and name in MONEY)}


async def preflight(request: Request, house: House) -> Response:
    """What a browser asks before it sends a page's request. Raises: OriginRefused."""
    origin = request.headers.get("origin", "")
    if not await _is_registered(house, origin):
        raise OriginRefused(f"The origin '{origin[:MAX_ORIGIN_CHARS]}' is not registered for any key.")
    asked = request.headers.get("access-control-request-headers", "")
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": asked if HEADER_NAMES.fullmatch(asked) else "content-type, x-api-key",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    return Response(status_code=204, headers=headers)


class ReadableByPages:
    """Lets pages of registered origins read the answers of the respond API. Plain ASGI, around the whole application."""

    def __init__(self, app: ASGIApp, *, house: HouseType) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        is_readable = origin is not None and await self._is_readable(origin)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                if is_readable and origin is not None:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _is_readable(self, origin: str) -> bool:
        try:
            return await _is_registered(self._house, origin)
        except HouseError:  # the database is away: the request itself will say so, unread by the page
            return False


async def _is_registered(house: HouseType, origin: str) -> bool:
    return 0 < len(origin) <= MAX_ORIGIN_CHARS and await house.keys.is_registered(origin)
