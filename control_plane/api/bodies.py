"""How requests are read: bodies as JSON that every other machine can also read and write, and no parameter unnoticed."""

from collections.abc import Callable, Collection, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from starlette.types import Scope

from control_plane.api.deps import principal
from control_plane.api.idempotency import HEADER, answer_once
from control_plane.schemas.base import ignored_fields
from control_plane.tenants.principal import Principal

CONTENT_TYPE = b"content-type"
SECRETS = frozenset({"virtual_key", "token"})
"""Fields of answers that are shown once: such an answer is not kept."""


class StrictRequest(Request):
    r"""Its JSON is RFC 8259: no NaN, no Infinity, no halves of characters (`"\ud800"`), UTF-8, at most 1024 deep.

    Python's own reader takes all of those. Postgres cannot keep them and no answer could say them: a job whose metadata
    held one could be created and then never be shown again.
    """

    async def json(self) -> Any:
        """The body. Raises: json.JSONDecodeError."""
        if not hasattr(self, "_json"):
            self._json = orjson.loads(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route for holders of a key that reads their bodies strictly: `APIRouter(route_class=StrictRoute)`."""

    async def identify(self, request: Request) -> Principal:
        """Who asks. Raises: InvalidKey, Forbidden."""
        return await principal(request)

    def allowed(self, scope: Scope, _who: Principal) -> Scope:
        """The request as far as this caller may say it."""
        return scope

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given our request."""
        handle = super().get_route_handler()

        has_secret = not SECRETS.isdisjoint(getattr(self.response_model, "model_fields", ()))
        known = {field.alias for field in get_flat_params(self.dependant)}

        async def handle_strictly(request: Request) -> Response:
            who = await self.identify(request)  # a stranger's body is not even read
            _report_unknown(request, known)
            strict = StrictRequest(_as_json(self.allowed(request.scope, who)), request.receive)
            if strict.method == "POST" and HEADER in strict.headers:
                response = await answer_once(strict, who, handle, has_secret=has_secret)
            else:
                response = await handle(strict)
            if has_secret:
                response.headers["Cache-Control"] = "no-store"
            return response

        return handle_strictly


def _as_json(scope: Scope) -> Scope:
    """The request with a body of JSON, whatever it calls it: curl calls it a form, and there is nothing else to read."""
    headers = [(name, value) for name, value in scope["headers"] if name != CONTENT_TYPE]
    return {**scope, "headers": [*headers, (CONTENT_TYPE, b"application/json")]}


def _report_unknown(request: Request, known: Collection[str]) -> None:
    """Query parameters that the route does not have are reported as fields of a body are."""
    collected = ignored_fields.get()
    if collected is not None:
        collected.extend(name for name in request.query_params if name not in known)
