"""Errors as the respond API says them: `{"error": {type, message, provider_status, retry_after_ms, code}}`. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from control_plane.api.failures import Failure
from control_plane.errors import InsufficientCredits, ModelTimeout, OriginRefused, ProviderError

MAX_PLACES = 5

TYPES_BY_CODE: Mapping[str, str] = {
    InsufficientCredits.code: "insufficient_credits",
    ModelTimeout.code: "timeout",
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


def respond_error(failure: Failure) -> tuple[int, Mapping[str, Any]]:
    """Status and body."""
    retry_after_s = failure.retry_after_s
    error = {
        "type": _type_of(failure),
        "message": _message(failure),
        "provider_status": failure.provider_status,
        "retry_after_ms": None if retry_after_s is None else round(retry_after_s * 1000),
        "code": failure.code,
    }
    return failure.status, {"error": error}


def _type_of(failure: Failure) -> str:
    known = TYPES_BY_CODE.get(failure.code) or TYPES_BY_STATUS.get(failure.status)
    if known is not None:
        return known
    if failure.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return "invalid_request"
    return "provider_error" if failure.code in PROVIDER_CODES else "internal"


def _message(failure: Failure) -> str:
    """With what is wrong at each place of a body that does not fit, of the first few."""
    if not isinstance(failure.detail, list):
        return failure.message
    places = [f"{'.'.join(str(step) for step in problem['loc'][1:])}: {problem['msg']}" for problem in failure.detail]
    more = f"; and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
    return f"The request does not fit the schema: {'; '.join(places[:MAX_PLACES])}{more}."
