"""Every error as the `/api` wire says it: `{"detail": sentence, "error": {"code", "message", …facts}}`.

Provider text, tracebacks and secrets never get here: an error carries its own message.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from control_plane.api.answers import json_response
from control_plane.errors import HouseError, TooLarge

log = logging.getLogger(__name__)

DEFAULT_RETRY_AFTER_S = 1

_CODES: Mapping[int, str] = {TooLarge.status: TooLarge.code}
"""Where the framework's own refusals have a name on our wire; Python renames its statuses."""


def add_error_handlers(app: FastAPI) -> None:
    """Renders whatever routes raise. Unexpected exceptions are the entrance's."""
    app.add_exception_handler(HouseError, _house_error)
    app.add_exception_handler(RequestValidationError, _invalid_body)
    app.add_exception_handler(HTTPException, _http_exception)


def error_body(code: str, message: str, facts: Mapping[str, Any] | None = None, detail: Any = None) -> dict[str, Any]:
    """The body of an error answer; `detail` is the message unless something more precise is known."""
    return {
        "detail": message if detail is None else detail,
        "error": {"code": code, "message": message, **(facts or {})},
    }


def house_error_response(error: HouseError) -> Response:
    """The answer to a request that failed with one of our errors."""
    headers = {}
    if error.retry_after_s is not None or error.status in (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s or DEFAULT_RETRY_AFTER_S))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(error_body(error.code, error.message, error.facts), status=error.status, headers=headers)


async def _house_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HouseError)
    log.log(error.level, "refused", extra={"code": error.code, "status": error.status}, exc_info=error.__cause__)
    return house_error_response(error)


async def _invalid_body(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems: Sequence[Mapping[str, Any]] = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        body = error_body("invalid_json", "The body is not valid JSON.")
        return json_response(body, status=HTTPStatus.BAD_REQUEST)
    # What the client sent is not repeated: it may be long, hold a secret, or be a NaN that JSON cannot say.
    detail = [{"loc": problem["loc"], "msg": problem["msg"], "type": problem["type"]} for problem in problems]
    places = ", ".join(sorted({".".join(str(part) for part in problem["loc"][1:]) or "body" for problem in problems}))
    body = error_body("invalid_request", f"The request does not fit the schema: see {places}.", detail=detail)
    return json_response(body, status=HTTPStatus.UNPROCESSABLE_ENTITY)


async def _http_exception(_request: Request, error: Exception) -> Response:
    """What the framework itself refuses: an unknown path, a wrong method, a body over the limit."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code) or HTTPStatus(error.status_code).name.lower()
    return json_response(error_body(code, str(error.detail)), status=error.status_code, headers=error.headers)
