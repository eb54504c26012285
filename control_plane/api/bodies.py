"""How request bodies are read: as JSON that every other machine behind this door can also read and write."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from control_plane.api.deps import principal
from control_plane.api.idempotency import HEADER, answer_once
from control_plane.tenants.principal import Principal


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

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given our request."""
        handle = super().get_route_handler()

        has_secret = "virtual_key" in getattr(self.response_model, "model_fields", ())

        async def handle_strictly(request: Request) -> Response:
            who = await self.identify(request)  # a stranger's body is not even read
            strict = StrictRequest(request.scope, request.receive)
            if request.method == "POST" and HEADER in request.headers:
                return await answer_once(strict, who, handle, has_secret=has_secret)
            return await handle(strict)

        return handle_strictly
