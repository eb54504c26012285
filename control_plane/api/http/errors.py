"""Error handlers: each error in the form of the API of its path.

Provider text, tracebacks and secrets never get here: an error carries its own message.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from control_plane.api.http.paths import Methods
from control_plane.api.http.problem import INVALID, ErrorRenderer, Problem, job_api_error
from control_plane.api.http.responses import json_response
from control_plane.api.http.validation_errors import readable
from control_plane.api.wires.anthropic.errors import anthropic_error
from control_plane.api.wires.openai.errors import openai_error
from control_plane.api.wires.respond.errors import respond_error
from control_plane.errors import ControlPlaneError, TooLarge

log = logging.getLogger(__name__)

_CODES: Mapping[int, str] = {TooLarge.status: TooLarge.code}
"""Codes of the framework's own errors on our wire; Python renames its statuses."""

ERROR_WIRES: Sequence[tuple[str, ErrorRenderer]] = (
    ("/api/v1/llm/", respond_error),
    ("/v1/messages", anthropic_error),
    ("/v1/", openai_error),
)
"""Error renderers by the beginning of the path, where they differ from `/api`; the first match counts."""


def add_error_handlers(app: FastAPI) -> None:
    """Renders whatever routes raise. Unexpected exceptions are the entrance's."""
    app.add_exception_handler(ControlPlaneError, _control_plane_error)
    app.add_exception_handler(RequestValidationError, _invalid_body)
    app.add_exception_handler(HTTPException, _http_exception)


def error_response(path: str, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that failed."""
    wire = next((wire for beginning, wire in ERROR_WIRES if path.startswith(beginning)), job_api_error)
    status, body = wire(problem)
    return json_response(body, status=status, headers={**problem.headers, **(headers or {})})


async def _control_plane_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ControlPlaneError)
    if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
        allowed = _methods(request).of_literal(request.url.path)
        if allowed and request.method not in allowed:  # GET /api/jobs/create is no job of the name "create"
            return _method_not_allowed(request, allowed)
    log.log(error.level, "refused", extra={"code": error.code, "status": error.status}, exc_info=error.__cause__)
    return error_response(request.url.path, Problem.of(error))


async def _invalid_body(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(request.url.path, failure_of(error.errors(), error.body))


def failure_of(problems: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """FastAPI's validation errors as a problem."""
    if any(problem["type"] == "json_invalid" for problem in problems):
        return Problem(HTTPStatus.BAD_REQUEST, "invalid_json", "The body is not valid JSON.")
    detail = readable(problems, body)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", INVALID, detail=detail)


async def _http_exception(request: Request, error: Exception) -> Response:
    """The framework's own errors: an unknown path, a wrong method, a body over the limit."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _method_not_allowed(request, _methods(request).of(request.url.path))
    code = _CODES.get(error.status_code) or HTTPStatus(error.status_code).name.lower()
    problem = Problem(error.status_code, code, str(error.detail))
    return error_response(request.url.path, problem, error.headers)


def _methods(request: Request) -> Methods:
    methods: Methods = request.app.state.methods
    return methods


def _method_not_allowed(request: Request, allowed: Sequence[str]) -> Response:
    names = ", ".join(allowed)
    message = f"{request.method} is not a method of this path; it has {names}."
    problem = Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", message)
    return error_response(request.url.path, problem, {"Allow": names})
