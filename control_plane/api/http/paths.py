"""Normalizes requests for routing: without a slash at the end, HEAD as GET, and the methods of a path."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from re import Pattern

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NormalizingMiddleware:
    """Serves `/path/` as `/path`: a redirect would name the host that the client claims, and often http. And HEAD as GET
    without the body, on every route. Plain ASGI, around the whole application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].endswith("/"):
            raw = scope.get("raw_path") or b"/"
            scope = {**scope, "path": scope["path"].rstrip("/") or "/", "raw_path": raw.rstrip(b"/") or b"/"}
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


@dataclass(frozen=True, slots=True)
class _Known:
    """A route. `is_literal`: its path has no parameters."""

    pattern: Pattern[str]
    methods: frozenset[str]
    is_literal: bool


class Methods:
    """Which methods each path has."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes: Sequence[_Known] = [
            _Known(route.path_regex, frozenset(route.methods or ()), not route.param_convertors)
            for route in routes
            if isinstance(route, Route)
        ]

    def of(self, path: str) -> Sequence[str]:
        """The methods that may be used; of `/jobs/create` those of that route, not those of `/jobs/{job_id}`."""
        found = [route for route in self._routes if route.pattern.match(path)]
        return _named(route for route in found if route.is_literal) or _named(found)

    def of_literal(self, path: str) -> Sequence[str]:
        """Those of a path that stands for nothing but itself; none where parameters make the path."""
        return _named(route for route in self._routes if route.is_literal and route.pattern.match(path))


def _named(routes: Iterable[_Known]) -> Sequence[str]:
    methods = {method for route in routes for method in route.methods}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
