"""One example for each error response, from our own errors and their renderers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from control_plane.api.http.errors import error_response, failure_of
from control_plane.api.http.problem import Problem
from control_plane.api.openapi.operations import Access
from control_plane.errors import (
    AdminOnly,
    AlreadyExists,
    CallTimedOut,
    ControlPlaneError,
    DatabaseUnavailable,
    IdempotencyInFlight,
    InsufficientCredits,
    InvalidKey,
    JobClosed,
    JobNotFound,
    KeyNotFound,
    LlmCallFailed,
    ModelGroupNotFound,
    NotFound,
    OrganizationNotFound,
    ProviderOverloaded,
    RateLimited,
    TeamNotFound,
    TeamNotOwned,
    TooLarge,
)

REQUEST_ID = "01a220d4-f820-727e-a5cf-03f28fe04347"

INVALID = [{"type": "missing", "loc": ("body", "messages"), "msg": "Field required"}]
UNREADABLE = [{"type": "json_invalid", "loc": ("body", 0), "msg": "JSON decode error"}]

NOT_FOUND: Mapping[str, ControlPlaneError] = {
    "{job_id}": JobNotFound(),
    "{key_id}": KeyNotFound(),
    "{organization_id}": OrganizationNotFound(),
    "{team_id}": TeamNotFound(),
}
"""By the last parameter of the path."""


def example_of(path: str, status: int, *, access: Access, is_call: bool) -> Any:
    """The body of an error of this status, as the route sends it. None where there is no typical one."""
    problem = _failure(path, status, access=access, is_call=is_call)
    if problem is None:
        return None
    body = orjson.loads(bytes(error_response(path, problem).body))
    return {**body, "request_id": REQUEST_ID} if "request_id" in body else body


def _failure(path: str, status: int, *, access: Access, is_call: bool) -> Problem | None:
    match status:
        case HTTPStatus.BAD_REQUEST:
            return failure_of(UNREADABLE, None)
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            return failure_of(INVALID, {})
        case 529:
            return Problem.of(_overloaded())
        case _:
            error = _error(path, status, access=access, is_call=is_call)
            return None if error is None else Problem.of(error)


def _error(path: str, status: int, *, access: Access, is_call: bool) -> ControlPlaneError | None:
    """Which of our errors the route has with that status."""
    closed = JobClosed(status="completed") if is_call or "{job_id}" in path else None
    taken = (
        AlreadyExists() if path.endswith("/create") and access is Access.ADMIN else IdempotencyInFlight(retry_after_s=1)
    )
    limited = RateLimited(owner="team 'acme-corp'", kind="requests", limit=60, retry_after_ms=900)
    typical: Mapping[int, ControlPlaneError] = {
        401: InvalidKey(),
        403: _forbidden(access, is_call=is_call or path.endswith("/jobs/create")),
        404: _not_found(path),
        409: closed or taken,
        413: TooLarge("The body is larger than 33554432 bytes."),
        429: limited,
        500: LlmCallFailed() if is_call else ControlPlaneError(),
        503: DatabaseUnavailable(),
        504: CallTimedOut(),
    }
    return typical.get(status)


def _forbidden(access: Access, *, is_call: bool) -> ControlPlaneError:
    if is_call:
        return InsufficientCredits(needed=2, available=1)
    return AdminOnly() if access is Access.ADMIN else TeamNotOwned()


def _not_found(path: str) -> ControlPlaneError:
    found = NOT_FOUND.get(path[path.rfind("{") : path.rfind("}") + 1])
    if found is not None:
        return found
    if path.startswith("/v1/") or "{name}" in path or path.endswith(("-call", "-call-stream", "/respond")):
        return ModelGroupNotFound(group="ChatAgnt", known=["ChatAgent", "ResumeAgent"])
    return NotFound()


def _overloaded() -> ControlPlaneError:
    error = ProviderOverloaded()
    error.provider_status = 529
    return error
