"""The `Idempotency-Key` of a POST: a repetition gets the first response, byte for byte, streams too."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from control_plane.api.http.deps import services_of
from control_plane.api.http.sse import KEEP_ALIVE, SseResponse
from control_plane.errors import IdempotencyAnswerSecret, IdempotencyAnswerTooLarge, Refused, Unprocessable
from control_plane.idempotency.service import Claim, StoredResponse, Undone
from control_plane.ids import CallId, Subject, new_id, parse_id
from control_plane.services import Services
from control_plane.tenants.principal import Principal

HEADER = "idempotency-key"
MAX_KEY_CHARS = 255
NOT_KEPT = frozenset({"content-length", "x-request-id", "connection"})
"""Headers that belong to one delivery of an answer."""
PLACING = ("x-job-id", "x-job-type", "x-job-complete")
"""Headers that name a call's job: a different job makes it a different request."""

MAX_KEPT_BYTES = 1_000_000
"""Of an answer: it is kept for a day, in the database."""
TOO_LARGE = "x-not-kept"
"""Marks an answer that was given, and not kept since it was larger."""

Handler = Callable[[Request], Awaitable[Response]]


async def subject(request: Request) -> Subject:
    """A new id, or that of the request's idempotency key."""
    claim: Claim | None = getattr(request.state, "claim", None)
    if claim is None:
        return Subject(new_id())
    return Subject(claim.subject_id, claim.is_resumed, claim.is_superseded, is_claimed=True)


NewSubject = Annotated[Subject, Depends(subject)]


async def answer_once(request: Request, principal: Principal, handle: Handler, *, has_secret: bool) -> Response:
    """The answer to a POST with an idempotency key: that of the first request of the same virtual key, if there was one.

    `has_secret`: the answer shows something that is shown once, and is not kept.
    Raises: IdempotencyInFlight, IdempotencyKeyReused, IdempotencyAnswerSecret, IdempotencyAnswerTooLarge, Unprocessable;
    ModelGroupNotAllowed and TeamSuspended, when what was answered is not the key's to use any more; what the handler raises.
    """
    services = services_of(request)
    fingerprint = _fingerprint(request, await request.body())
    found = await services.idempotency.claim(_scope(principal), _key(request), fingerprint, principal.team_id)
    if isinstance(found, StoredResponse):
        await _check_still_allowed(services, principal, found)
        return _replay(found)
    request.state.claim = found
    pending = _Pending(services, found, has_secret=has_secret)
    try:
        response = await handle(request)
    except (Refused, HTTPException, RequestValidationError):
        await pending.settle(Undone.NOTHING)
        raise
    except BaseException:
        await pending.settle(Undone.UNKNOWN)
        raise
    if isinstance(response, SseResponse):
        return _StoredStream(response, pending)
    await pending.keep(response, response.body)
    return response


def _scope(principal: Principal) -> str:
    """Whose idempotency keys these are: another virtual key of the team may be allowed less."""
    if principal.member is not None:
        return f"{principal.audited.means}:{principal.audited.id}"
    return "admin" if principal.team_id is None else f"team:{principal.team_id}:{principal.key_id}"


async def _check_still_allowed(services: Services, principal: Principal, kept: StoredResponse) -> None:
    """A stored response of a model needs the same access to its model group as a new one. Raises: Forbidden."""
    call_id = parse_id(kept.headers.get("x-call-id", ""))
    if principal.team_id is None or call_id is None:
        return
    group = await services.jobs.find_model_group(CallId(call_id))
    if group is not None and group in services.groups.catalog.groups:
        await services.groups.choose(principal, group, ())


def _key(request: Request) -> str:
    key = request.headers[HEADER]
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise Unprocessable(f"Idempotency-Key must be 1 to {MAX_KEY_CHARS} printable ASCII characters.")
    return key


def _fingerprint(request: Request, body: bytes) -> str:
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    placed = [f"{name}: {value}\n".encode() for name in PLACING if (value := request.headers.get(name)) is not None]
    fingerprint = hashlib.sha256(asked + b"".join(placed))
    fingerprint.update(body)  # a large one is not copied
    return fingerprint.hexdigest()


def _replay(kept: StoredResponse) -> Response:
    if TOO_LARGE in kept.headers:
        raise IdempotencyAnswerTooLarge
    if kept.body is None:
        raise IdempotencyAnswerSecret
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    return Response(kept.body, status_code=kept.status, headers=headers)


class _Pending:
    """A claimed request that is settled once: its answer is kept, or the next with its key begins."""

    def __init__(self, services: Services, claim: Claim, *, has_secret: bool) -> None:
        self._services = services
        self._claim = claim
        self._has_secret = has_secret
        self._is_settled = False

    async def keep(self, response: Response, body: bytes | memoryview) -> None:
        """Keeps an answer of success."""
        headers = {name: value for name, value in response.headers.items() if name not in NOT_KEPT}
        is_too_large = len(body) > MAX_KEPT_BYTES
        if is_too_large:
            headers[TOO_LARGE] = "too large"
        is_kept = not (self._has_secret or is_too_large)
        await self.settle(StoredResponse(response.status_code, headers, bytes(body) if is_kept else None))

    async def settle(self, outcome: StoredResponse | Undone) -> None:
        """The first time; then nothing."""
        if self._is_settled:
            return
        self._is_settled = True
        work = self._services.idempotency.settle(self._claim, outcome)
        await self._services.calls.in_flight.run_to_completion(work)


class _StoredStream(Response):
    """A stream that is kept as it is sent, before its last event goes out."""

    def __init__(self, stream: SseResponse, pending: _Pending) -> None:
        self._stream = stream
        self._pending = pending
        self._sent: list[bytes] = []
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the stream. One that failed or was left before its end frees its key."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and message["body"] != KEEP_ALIVE:
                if self._size <= MAX_KEPT_BYTES:  # of a larger one, only that it is larger matters
                    self._sent.append(message["body"])
                self._size += len(message["body"])
                if not message["more_body"]:
                    await self._settle()
            await send(message)

        try:
            await self._stream(scope, receive, sending)
        finally:
            await self._settle()

    async def _settle(self) -> None:
        if self._stream.is_whole:
            await self._pending.keep(self._stream, b"".join(self._sent))
        else:
            await self._pending.settle(Undone.UNKNOWN)
