"""Errors in the respond API's form: `{"error": {type, message, provider_status, retry_after_ms, code}}`. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from pydantic import Field

from control_plane.api.http.problem import Problem, precise_message
from control_plane.errors import CallTimedOut, InsufficientCredits, ModelTimeout, OriginRefused, ProviderError
from control_plane.schemas.base import Answer

TYPES_BY_CODE: Mapping[str, str] = {
    InsufficientCredits.code: "insufficient_credits",
    ModelTimeout.code: "timeout",
    CallTimedOut.code: "timeout",
    OriginRefused.code: "auth",  # S4: "auth: check API key and domain registration"
}
TYPES_BY_STATUS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "auth",
    HTTPStatus.FORBIDDEN: "permission",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit",
}
PROVIDER_CODES = frozenset({ProviderError.code, *(kind.code for kind in ProviderError.__subclasses__())})


class RespondErrorFacts(Answer):
    """What went wrong. `code` is finer than `type`; `provider_status` and `retry_after_ms` are null where unknown.

    `provider_code`, `provider_type` and `provider_param` are from the provider's report, if any.
    """

    type: Literal[
        "rate_limit",
        "auth",
        "permission",
        "invalid_request",
        "insufficient_credits",
        "not_found",
        "conflict",
        "timeout",
        "provider_error",
        "internal",
    ] = Field(description="kind of the error")
    message: str = Field(description="the mistake and its remedy, for people")
    provider_status: int | None = Field(description="HTTP status of the provider's answer; null: unknown")
    retry_after_ms: int | None = Field(description="milliseconds after which to try again; null: unknown")
    code: str = Field(description="code of the error, finer than `type`")
    provider_code: str | None = Field(
        default=None, exclude_if=lambda given: given is None, description="the provider's code of the error"
    )
    provider_type: str | None = Field(
        default=None, exclude_if=lambda given: given is None, description="the provider's type of the error"
    )
    provider_param: str | None = Field(
        default=None,
        exclude_if=lambda given: given is None,
        description="the request's field that the provider rejected",
    )


class RespondError(Answer):
    """Every error of this API."""

    error: RespondErrorFacts = Field(description="what went wrong")


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": RespondError, "description": description}
    for status, description in (
        (400, "`invalid_request`: unparsable JSON, or rejected by the provider"),
        (401, "`auth`: missing, unknown, expired or revoked key"),
        (403, "`insufficient_credits`, `permission`, or `auth` for a page whose origin is not registered for the key"),
        (404, "`not_found`: the model or job does not exist"),
        (409, "`conflict`: the job is closed"),
        (413, "`invalid_request`: too large"),
        (422, "`invalid_request`: the request does not fit the schema"),
        (429, "`rate_limit`: ours or the provider's; see `retry_after_ms`"),
        (500, "`provider_error`, `internal`"),
        (503, "`provider_error`, `timeout`, `internal`; see `retry_after_ms`"),
    )
}


def respond_error(problem: Problem) -> tuple[int, Mapping[str, Any]]:
    """Status and body. `provider_code`, `_type` and `_param` are present as far as the provider reported them."""
    retry_after_s = problem.retry_after_s
    error: dict[str, Any] = {
        "type": _type_of(problem),
        "message": precise_message(problem),
        "provider_status": problem.provider_status,
        "retry_after_ms": None if retry_after_s is None else round(retry_after_s * 1000),
        "code": problem.code,
    }
    if problem.provider is not None:
        words = {f"provider_{name}": problem.provider[name] for name in ("code", "type", "param")}
        error |= {name: word for name, word in words.items() if word is not None}
    return problem.status, {"error": error}


def _type_of(problem: Problem) -> str:
    known = TYPES_BY_CODE.get(problem.code) or TYPES_BY_STATUS.get(problem.status)
    if known is not None:
        return known
    if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return "invalid_request"
    return "provider_error" if problem.code in PROVIDER_CODES else "internal"
