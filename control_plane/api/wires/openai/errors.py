"""Errors in OpenAI's form: `{"error": {message, type, param, code}}`. Pure.

A provider's report is in `provider`, since `type`, `param` and `code` are about the request to us.

The status decides which exception its SDKs raise, and whether they retry by themselves.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import Field

from control_plane.api.http.openapi_errors import ProviderFacts
from control_plane.api.http.problem import Problem, place_of, precise_message
from control_plane.api.wires.openapi import error_responses
from control_plane.errors import (
    ContentPolicyViolated,
    InsufficientCredits,
    InvalidKey,
    ModelGroupNotFound,
)
from control_plane.schemas.base import Answer

CODES: Mapping[str, str] = {
    InvalidKey.code: "invalid_api_key",
    ModelGroupNotFound.code: "model_not_found",
    ContentPolicyViolated.code: "content_policy_violation",
    "rate_limited": "rate_limit_exceeded",
}
"""Codes for which OpenAI has its own name, which clients match."""

TYPES: Mapping[int, str] = {
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.CONFLICT: "conflict_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class OpenAiFacts(Answer):
    """What went wrong: `code` for programs, `message` for people, more fields for some codes. `provider` is present
    when the provider reported an error.
    """

    message: str = Field(description="the mistake and its remedy, for people")
    type: str = Field(description="OpenAI's type of the error")
    param: str | None = Field(description="the request's wrong field, if it can be named")
    code: str | None = Field(description="code of the error, for programs")
    provider: ProviderFacts | None = Field(
        default=None, description="the error that the model provider reported; absent when it reported none"
    )


class OpenAiErrorAnswer(Answer):
    """Every error of `/v1`, but of `/v1/messages`."""

    error: OpenAiFacts = Field(description="what went wrong")


ERRORS = error_responses(OpenAiErrorAnswer)


def openai_error(problem: Problem) -> tuple[int, Mapping[str, Any]]:
    """Status and body. A body that does not fit the schema is 400, as at OpenAI."""
    status = HTTPStatus.BAD_REQUEST if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY else problem.status
    return status, {"error": error_of(problem)}


def error_of(problem: Problem) -> dict[str, Any]:
    """The error itself, as it also ends a stream."""
    return {
        "message": precise_message(problem),
        "type": _type_of(problem),
        "param": place_of(problem),
        "code": CODES.get(problem.code, problem.code),
        **problem.facts,
        **problem.provider_facts,
    }


def _type_of(problem: Problem) -> str:
    if problem.code == InsufficientCredits.code:
        return "insufficient_quota"
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "server_error"
    return TYPES.get(problem.status, "invalid_request_error")
