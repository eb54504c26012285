"""Errors in Anthropic's form: `{"type": "error", "error": {type, message}, "request_id"}`. Pure.

The status decides which exception its SDKs raise.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import Field

from control_plane.api.http.openapi_errors import ProviderFacts
from control_plane.api.http.problem import Problem, precise_message
from control_plane.api.wires.openapi import error_responses
from control_plane.errors import InsufficientCredits, ProviderOverloaded
from control_plane.logs import request_id
from control_plane.schemas.base import Answer

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


class AnthropicFacts(Answer):
    """What went wrong: `code` for programs, `message` for people, more fields for some codes. `provider` is present
    when the provider reported an error.
    """

    type: str = Field(description="Anthropic's type of the error")
    message: str = Field(description="the mistake and its remedy, for people")
    code: str = Field(description="code of the error, for programs")
    provider: ProviderFacts | None = Field(
        default=None, description="the error that the model provider reported; absent when it reported none"
    )


class AnthropicErrorAnswer(Answer):
    """Every error of `/v1/messages`."""

    type: str = Field(description="`error`")
    error: AnthropicFacts = Field(description="what went wrong")
    request_id: str = Field(description="id of the request, as in `X-Request-Id`")


ERRORS = error_responses(AnthropicErrorAnswer, (OVERLOADED, "the provider is overloaded; retry after `Retry-After`"))


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
