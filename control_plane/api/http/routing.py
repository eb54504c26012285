"""Route class: parses strict JSON, which every other program can also read and write, and reports unknown parameters.

A body is counted while it arrives and refused before it becomes objects (`body_scan.py`). Large bodies are parsed and
validated beside the event loop, a few at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from contextvars import copy_context
from functools import partial
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.api.http.body_budget import held_body
from control_plane.api.http.body_scan import BodyLimits, BodyScan
from control_plane.api.http.deps import principal, services_of
from control_plane.api.http.direct import DirectHandler, InvalidHeader, is_direct
from control_plane.api.http.disconnect import ClientDisconnected
from control_plane.api.http.idempotency import HEADER, answer_once
from control_plane.errors import RequestTimeout, TooLarge
from control_plane.schemas.base import ignored_fields
from control_plane.settings import Settings
from control_plane.tenants.principal import Principal

CONTENT_TYPE = b"content-type"
SECRETS = frozenset({"virtual_key", "token", "access_token"})
"""Fields of answers that are shown once: such an answer is not kept."""

MOST_VALUES = 100_000
MORE_VALUES = {"/v1/embeddings": 500_000}
"""Paths whose texts may be numbers of tokens: OpenAI takes 300,000 of them."""
MOST_LEVELS = 128
"""Stored JSON may have 100 levels (`schemas/base.py`), inside the levels of the API."""

SLICE = 65_536
"""Bytes that are counted before others get their turn."""
LARGE = 32_768
"""Bytes from which a body is parsed and validated in a thread."""
THREADS = 2
MIN_BYTES_PER_S = 20_000
"""The speed at which the rest of a body must come after its first `body_timeout_s`."""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bodies")


class StrictRequest(Request):
    r"""Its JSON is RFC 8259: no NaN, no Infinity, no halves of characters (`"\ud800"`), UTF-8, at most 128 deep.

    Python's own reader accepts all of those. Postgres cannot store them and no response could contain them: a job whose
    metadata held one could be created and then never be shown again.
    """

    async def json(self) -> Any:
        """The body. Raises: json.JSONDecodeError."""
        if not hasattr(self, "_json"):
            self._json = orjson.loads(await self.body())
        return self._json

    async def read(self, principal: Principal, settings: Settings) -> None:
        """Reads the body, while it is neither too large nor too slow.

        Raises: TooLarge, RequestTimeout, TeamBodiesTooLarge, BodiesTooLarge, RequestValidationError for one too deep.
        """
        held, team = held_body.get(), principal.team_id or "admin"
        limits = BodyLimits(settings.max_json_chars, MORE_VALUES.get(self.scope["path"], MOST_VALUES), MOST_LEVELS)
        scan, pieces, size = BodyScan(), [], 0
        async for piece in _in_time(self.stream(), settings.body_timeout_s):
            size += len(piece)
            if held is not None:
                held.grow(team, size)  # as it comes: a large announced length alone takes no budget
            for begin in range(0, len(piece), SLICE):
                if begin:
                    await asyncio.sleep(0)
                scan.take(piece[begin : begin + SLICE])
                if not scan.is_within(limits):
                    raise _too_much(scan, limits)
            pieces.append(piece)
        self._body = b"".join(pieces)

    @property
    def is_large(self) -> bool:
        """Whether its body is, which was read."""
        return len(self._body) >= LARGE

    async def validated(self, model: type[BaseModel]) -> BaseModel | None:
        """The body. None: FastAPI reports what is wrong with it. Raises: RequestValidationError for a large one.

        A large one is parsed and validated in a thread.
        """
        if not self.is_large:
            try:
                return model.model_validate(orjson.loads(self._body))
            except ValueError:
                return None
        body = await asyncio.get_running_loop().run_in_executor(
            _threads, partial(copy_context().run, _validated, model, self._body)
        )
        self._json, self._body = body, b"{}"  # its reader has the JSON; the call may last for minutes
        async with self.app.state.large_bodies:  # what follows takes long, too: meanwhile the event loop does all else
            await asyncio.sleep(0)
        return body


class AuthenticatedRoute(APIRoute):
    """A route for holders of a key that reads their bodies strictly: `APIRouter(route_class=AuthenticatedRoute)`."""

    def __init__(self, *given: Any, **more: Any) -> None:
        """As FastAPI's."""
        super().__init__(*given, **more)
        if is_direct(self, model_of(self)):
            self.app = _asgi_app(self.get_route_handler())

    async def identify(self, request: Request) -> Principal:
        """Authenticates. Raises: InvalidKey, Forbidden."""
        return await principal(request)

    def allowed(self, scope: Scope, _principal: Principal) -> Scope:
        """The request without what this caller may not set."""
        return scope

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, or FastAPI's handler, given our request."""
        handle = super().get_route_handler()

        has_secret = not SECRETS.isdisjoint(getattr(self.response_model, "model_fields", ()))
        known = {field.alias for field in get_flat_params(self.dependant)}
        model = model_of(self)
        direct = DirectHandler(self) if is_direct(self, model) else None

        async def answer(request: Request) -> Response:
            assert isinstance(request, StrictRequest), "made below"
            body = None
            if model is not None and (direct is not None or request.is_large):
                body = await request.validated(model)
            if direct is None or (model is not None and body is None):
                return await handle(request)
            try:
                arguments = await direct.arguments(request, body)
            except InvalidHeader:
                return await handle(request)
            return await direct.call(arguments)

        async def handle_strictly(request: Request) -> Response:
            principal = await self.identify(request)  # a stranger's body is not even read
            _report_unknown(request, known)
            strict = StrictRequest(_as_json(self.allowed(request.scope, principal)), request.receive)
            has_key = strict.method == "POST" and HEADER in strict.headers
            if has_key or self.body_field is not None:
                await strict.read(principal, services_of(request).settings)
            return await (answer_once(strict, principal, answer, has_secret=has_secret) if has_key else answer(strict))

        return handle_strictly


def _asgi_app(handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> ASGIApp:
    """A handler as an application. What it raises is answered by the handlers of errors, as everywhere."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        async with (
            AsyncExitStack() as function_stack,
            AsyncExitStack() as request_stack,
        ):  # FastAPI's handler needs them
            scope["fastapi_inner_astack"], scope["fastapi_function_astack"] = request_stack, function_stack
            response = await handle(request)
        await response(scope, receive, send)

    return answering


def model_of(route: APIRoute) -> type[BaseModel] | None:
    """The model of a route's body."""
    found = None if route.body_field is None else route.body_field.field_info.annotation
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


async def _in_time(stream: AsyncIterator[bytes], timeout_s: float) -> AsyncIterator[bytes]:
    """The pieces of a body. Raises: RequestTimeout when they come too slowly."""
    loop = asyncio.get_running_loop()
    started, waited, size = loop.time(), 0.0, 0
    while True:
        try:
            async with asyncio.timeout(timeout_s + size / MIN_BYTES_PER_S - waited):
                piece = await anext(stream, None)
        except TimeoutError:
            raise RequestTimeout from None
        except ClientDisconnect:
            raise ClientDisconnected from None
        if piece is None:
            return
        waited, size = loop.time() - started, size + len(piece)
        if piece:
            yield piece


def _too_much(scan: BodyScan, limits: BodyLimits) -> Exception:
    if scan.depth > limits.depth:
        problem = {"type": "too_deep", "loc": ("body",), "msg": f"must not be nested deeper than {limits.depth} levels"}
        return RequestValidationError([problem])
    if scan.chars > limits.chars:
        return TooLarge(f"The body has more than {limits.chars} characters beside the data of its files.")
    return TooLarge(f"The body has more than {limits.values} values: members of objects and lists.")


def _validated(model: type[BaseModel], body: bytes) -> BaseModel:
    """Raises: RequestValidationError, as FastAPI does."""
    try:
        given = orjson.loads(body)
    except json.JSONDecodeError as error:
        problem = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error"}
        raise RequestValidationError([problem]) from None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise RequestValidationError(problems, body=given) from None


def _as_json(scope: Scope) -> Scope:
    """The request with a body of JSON, whatever it calls it: curl calls it a form, and there is nothing else to read."""
    headers = [(name, value) for name, value in scope["headers"] if name != CONTENT_TYPE]
    return {**scope, "headers": [*headers, (CONTENT_TYPE, b"application/json")]}


def _report_unknown(request: Request, known: Collection[str]) -> None:
    """Query parameters that the route does not have are reported as fields of a body are."""
    collected = ignored_fields.get()
    if collected is not None:
        collected.extend(name for name in request.query_params if name not in known)
