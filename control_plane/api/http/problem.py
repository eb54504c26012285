"""An error on its way to a client, before an API renders it in its own form."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from control_plane.api.http.page_headers import asked_by_page
from control_plane.api.http.responses import limit_headers
from control_plane.completion.faults import as_shown
from control_plane.errors import (
    AlreadyExists,
    ControlPlaneError,
    IdempotencyAnswerSecret,
    IdempotencyAnswerTooLarge,
    JobClosed,
    fault_of,
)
from control_plane.limits.rules import LimitStatus

DEFAULT_RETRY_AFTER_S = 1
MAX_PLACES = 5
MAX_PATH = 300
"""Characters of a place in a message: a key of the client's may be long."""

INVALID = "The request does not fit the schema."

REPEATED_IN_VAIN = frozenset(
    {JobClosed.code, IdempotencyAnswerSecret.code, IdempotencyAnswerTooLarge.code, AlreadyExists.code}
)
"""Conflicts that a retry does not end. OpenAI's and Anthropic's SDKs retry every 409 unless a header forbids it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error for a client. `facts` belong to the code; `detail` is more precise than the message, where available.

    `provider_status`: the provider's HTTP status, if any. `provider`: its error report: status, code, type and param,
    redacted, never its text. `limit_status`: the rate limits' remainder, when one is reached.
    """

    status: int
    code: str
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    detail: Any = None
    retry_after_s: float | None = None
    provider_status: int | None = None
    provider: Mapping[str, Any] | None = None
    limit_status: LimitStatus | None = None

    @classmethod
    def of(cls, error: ControlPlaneError) -> "Problem":
        """The problem of one of our errors. 429 and 503 have a retry time; web pages get no facts of the team and the
        operator.
        """
        retry_after_s = error.retry_after_s
        if retry_after_s is None and error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            retry_after_s = DEFAULT_RETRY_AFTER_S
        if asked_by_page.get():
            return cls(error.status, error.code, error.message_for_pages, retry_after_s=retry_after_s)
        provider = as_shown(fault_of(error))
        return cls(
            error.status,
            error.code,
            error.message,
            error.facts,
            retry_after_s=retry_after_s,
            provider_status=getattr(error, "provider_status", None) or (provider or {}).get("status"),
            provider=provider,
            limit_status=getattr(error, "limit_status", None),
        )

    @property
    def provider_facts(self) -> Mapping[str, Any]:
        """`provider` as a field of an error, where the provider reported something."""
        return {} if self.provider is None else {"provider": self.provider}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it, whatever the API."""
        headers = limit_headers(self.limit_status) if self.limit_status else {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(math.ceil(self.retry_after_s))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status == HTTPStatus.REQUEST_TIMEOUT:
            headers["Connection"] = "close"  # the rest of the request is not waited for
        if self.code in REPEATED_IN_VAIN:
            headers["X-Should-Retry"] = "false"
        return headers


ErrorRenderer = Callable[[Problem], tuple[int, Mapping[str, Any]]]
"""Renders an error for an API: status and body."""


def job_api_error(problem: Problem) -> tuple[int, Mapping[str, Any]]:
    """The error in `/api`'s form: `{"detail": sentence, "error": {"code", "message", …facts, "provider"}}`."""
    message = precise_message(problem)
    detail = message if problem.detail is None else problem.detail
    error = {"code": problem.code, "message": message, **problem.facts, **problem.provider_facts}
    return problem.status, {"detail": detail, "error": error}


def precise_message(problem: Problem) -> str:
    """The message, with what is wrong at each place of a body that does not fit, of the first few."""
    if not isinstance(problem.detail, list):
        return problem.message
    places = [_sentence(problem) for problem in problem.detail]
    more = f"; and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
    return f"{INVALID.removesuffix('.')}: {'; '.join(places[:MAX_PLACES])}{more}."


def place_of(problem: Problem) -> str | None:
    """The path of the first mistake."""
    return _path(problem.detail[0]) or None if isinstance(problem.detail, list) and problem.detail else None


def _sentence(problem: Mapping[str, Any]) -> str:
    source, words = problem["loc"][0], str(problem["msg"]).removesuffix(".")
    place = _path(problem)
    if not place:
        return words if problem["type"] == "value_error" else f"the {source} {words}"
    return f"{place}: {words}" if source == "body" else f"{source} {place}: {words}"


def _path(problem: Mapping[str, Any]) -> str:
    return ".".join(str(step) for step in problem["loc"][1:])[:MAX_PATH]
