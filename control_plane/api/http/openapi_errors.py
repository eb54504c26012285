"""The error responses of the routes, for OpenAPI."""

from typing import Any

from pydantic import Field

from control_plane.schemas.base import Answer, Json


class ProviderFacts(Answer):
    """The error that the model provider reported, with secrets and accounts redacted."""

    status: int = Field(description="HTTP status of the provider's answer")
    code: str | None = Field(description="the provider's code of the error")
    type: str | None = Field(description="the provider's type of the error")
    param: str | None = Field(description="the request's field that the provider rejected")


class ErrorFacts(Answer):
    """What went wrong: `code` for programs, `message` for people, more fields for some codes. `provider` is present
    when the provider reported an error.
    """

    code: str = Field(description="code of the error, for programs")
    message: str = Field(description="the mistake and its remedy, for people")
    provider: ProviderFacts | None = Field(
        default=None, description="the error that the model provider reported; absent when it reported none"
    )


class ErrorAnswer(Answer):
    """Every error of `/api`."""

    detail: str | list[Json] = Field(
        description="the message; for a request that does not fit the schema, the list of its mistakes"
    )
    error: ErrorFacts = Field(description="what went wrong")


def _described(*statuses: tuple[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorAnswer, "description": description} for status, description in statuses}


AUTH_ERRORS = _described(
    (400, "`invalid_json`: unreadable body"),
    (401, "`invalid_key`: missing, unknown, expired or revoked"),
    (403, "the key lacks permission"),
    (413, "`too_large`: the body exceeds the limit"),
    (422, "`invalid_request`: mistakes in the request, listed in `detail`"),
    (503, "`overloaded`, `database_unavailable`, `database_busy`; retry after `Retry-After`"),
)
JOB_ERRORS = AUTH_ERRORS | _described(
    (429, "`rate_limited`: too many new jobs; retry after `Retry-After`"),
    (403, "`job_not_owned`, `insufficient_credits`, `team_suspended`"),
    (404, "`job_not_found`"),
    (409, "`job_closed`, `calls_in_flight`"),
)
CALL_ERRORS = _described(
    (400, "`invalid_json`, `invalid_request`, `context_length_exceeded`, `content_policy`"),
    (403, "`model_group_not_allowed`, `insufficient_credits`, `job_not_owned`, `team_suspended`"),
    (413, "`too_large`"),
    (429, "`rate_limited`: a limit of the team, key or model group; `provider_rate_limited`: also after retries"),
    (
        500,
        "`llm_call_failed`: every model of the group failed, or the provider rejects the operator's account or key",
    ),
    (503, "`provider_unavailable`, `model_timeout`, `overloaded`"),
    (504, "`call_timeout`: the call with all its attempts exceeded the server's time limit"),
)
SSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
