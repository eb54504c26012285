"""Errors in the respond API's form: `{"error": {type, message, provider_status, retry_after_ms, code}}`. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from control_plane.api.http.problem import Problem, precise_message
from control_plane.errors import CallTimedOut, InsufficientCredits, ModelTimeout, OriginRefused, ProviderError

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
