"""Errors in Anthropic's form: `{"type": "error", "error": {type, message}, "request_id"}`. Pure.

The status decides which exception its SDKs raise.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from control_plane.api.http.problem import Problem, precise_message
from control_plane.errors import InsufficientCredits, ProviderOverloaded
from control_plane.logs import request_id

OVERLOADED = 529

TYPES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.INTERNAL_SERVER_ERROR: "api_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}


def anthropic_error(problem: Problem) -> tuple[int, Mapping[str, Any]]:
    """Status and body. A body that does not fit the schema is 400, and an overloaded provider 529, as at Anthropic."""
    status: int = HTTPStatus.BAD_REQUEST if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY else problem.status
    if problem.code == ProviderOverloaded.code and problem.provider_status == OVERLOADED:
        status = OVERLOADED
    kind = "billing_error" if problem.code == InsufficientCredits.code else TYPES.get(problem.status)
    error = {
        "type": kind or "invalid_request_error",
        "message": precise_message(problem),
        "code": problem.code,
        **problem.facts,
        **problem.provider_facts,
    }
    return status, {"type": "error", "error": error, "request_id": request_id.get()}
