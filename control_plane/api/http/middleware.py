"""Middleware of every request: id, size limit, header of ignored fields, one log line, and a handler for uncaught
errors. Plain ASGI: a framework middleware would buffer streams.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane import waiting
from control_plane.api.http.body_budget import BodyBudget, HeldBody, held_body
from control_plane.api.http.disconnect import ClientDisconnected
from control_plane.api.http.errors import error_response
from control_plane.api.http.gate import Gate
from control_plane.api.http.problem import Problem
from control_plane.audit.values import Origin, origin
from control_plane.errors import ControlPlaneError, DatabaseUnavailable, ShuttingDown
from control_plane.ids import new_id
from control_plane.logs import request_id
from control_plane.replicas.lease import Lease
from control_plane.schemas.base import ignored_fields

log = logging.getLogger(__name__)

MAX_REQUEST_ID_CHARS = 128
LAST_WORDS_S = 1.0  # how long a stopping server tries to answer a client that still waits
READING = frozenset({"GET", "HEAD", "OPTIONS"})
CUT_OFF = "This server could not write to the database for a while and takes nothing new until it can. Try again."
CLIENT_LEFT = 499  # only in the log, as nginx does: no client is left for a response


@dataclass(slots=True)
class _Size:
    """Of a request and its answer, as far as they have come."""

    handled: int = 0


class RequestMiddleware:
    """The innermost middleware, inside normalization and CORS: bounds body size and queueing time, logs the request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        budget: BodyBudget,
        lease: Lease,
        handled: Callable[[int], None],
        gate: Gate,
    ) -> None:
        """`budget`: of the bodies of all requests. `lease`: of this process; while it is overdue nothing new is begun here.
        `handled`: takes the bytes that a request and its answer had. `gate`: refuses those whose turn would be too late.
        """
        self._gate = gate
        self._app = app
        self._lease = lease
        self._handled = handled
        self._max_body_bytes = max_body_bytes
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        identity = _request_id(headers.get("x-request-id"))
        ignored: list[str] = []
        request_id.set(identity)
        origin.set(Origin(_address_of(scope), identity))
        ignored_fields.set(ignored)
        held = HeldBody(self._budget)
        held_body.set(held)
        started = time.monotonic()
        status = 0
        size = _Size()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer_headers = MutableHeaders(scope=message)
                answer_headers["X-Request-Id"] = identity
                if ignored:
                    answer_headers["X-Ignored-Fields"] = _printable(ignored)
                answer_headers["X-Content-Type-Options"] = "nosniff"
                answer_headers.setdefault(
                    "Cache-Control", "no-store"
                )  # it is one team's; cacheable responses set it themselves
            size.handled += len(message.get("body", b""))
            await send(message)

        try:
            await self._serve(scope, headers, self._limited(headers, receive, size), send_with_headers)
        except ClientDisconnected:
            status = CLIENT_LEFT
        except asyncio.CancelledError:  # the grace after SIGTERM is over
            if not status:
                with anyio.move_on_after(LAST_WORDS_S, shield=True):
                    answer = error_response(scope["path"], Problem.of(ShuttingDown()))
                    await answer(scope, receive, send_with_headers)
            raise
        except Exception:
            log.exception("unexpected_error", extra={"path": scope["path"]})
            if not status:
                answer = error_response(scope["path"], Problem.of(ControlPlaneError()))
                await answer(scope, receive, send_with_headers)
        finally:
            held.release()
            milliseconds = round((time.monotonic() - started) * 1000)
            fields = {"method": scope["method"], "path": scope["path"], "status": status, "duration_ms": milliseconds}
            log.info("request", extra=fields)
            self._handled(size.handled)

    async def _serve(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        try:
            if self._lease.is_overdue and scope["method"] not in READING:
                raise DatabaseUnavailable(CUT_OFF, retry_after_s=2)
            self._gate.enter(scope["method"], scope["path"], headers)
        except ControlPlaneError as refusal:
            await error_response(scope["path"], Problem.of(refusal))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _limited(self, headers: Headers, receive: Receive, size: "_Size") -> Receive:
        """`receive` that refuses a body over the limit: by its announced length at once, else when it gets there."""
        announced = headers.get("content-length", "")
        is_too_large = announced.isdecimal() and int(announced) > self._max_body_bytes
        received = 0

        async def limited() -> Message:
            nonlocal received
            if is_too_large:
                raise self._too_large()
            with waiting.off_the_clock():
                message = await receive()
            received += len(message.get("body", b""))
            size.handled += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> HTTPException:
        return HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {self._max_body_bytes} bytes."
        )


def _request_id(given: str | None) -> str:
    """The client's id when it is short and printable, else a new one."""
    if given and len(given) <= MAX_REQUEST_ID_CHARS and given.isascii() and given.isprintable():
        return given
    return str(new_id())


def _address_of(scope: Scope) -> str | None:
    """The address that the request came from, as the server knows it: a proxy's only when it is not trusted."""
    client = scope.get("client")
    return None if client is None else str(client[0])


def _printable(names: list[str]) -> str:
    """Field names as a header value, whatever characters a client made them of."""
    unique = dict.fromkeys(names)
    return ", ".join(_visible(name.encode("ascii", "backslashreplace").decode()[:64]) for name in list(unique)[:20])


def _visible(text: str) -> str:
    """Without the control characters that would end a header or be refused in one."""
    return "".join(character if character.isprintable() else " " for character in text)
