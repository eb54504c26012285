"""The error answers of the routes, for OpenAPI."""

from typing import Any

from pydantic import Field

from control_plane.schemas.base import Answer, Json


class ProviderFacts(Answer):
    """What the model provider reported as wrong, in its own words; secrets and accounts are redacted."""

    status: int = Field(description="HTTP status of the provider's answer")
    code: str | None = Field(description="the provider's code of the error")
    type: str | None = Field(description="the provider's type of the error")
    param: str | None = Field(description="the request's field that the provider names as wrong")


class ErrorFacts(Answer):
    """What went wrong: `code` for programs, `message` for people; more fields as the code needs them. `provider` is
    there when the provider reported something.
    """

    code: str = Field(description="code of the error, for programs")
    message: str = Field(description="what is wrong and how to fix it, for people")
    provider: ProviderFacts | None = Field(
        default=None, description="what the model provider reported as wrong; only there when it reported something"
    )


class ErrorAnswer(Answer):
    """Every error of `/api`."""

    detail: str | list[Json] = Field(
        description="the message; of a request that does not fit the schema, a list of what is wrong where"
    )
    error: ErrorFacts = Field(description="what went wrong")


def _described(*statuses: tuple[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorAnswer, "description": description} for status, description in statuses}


AUTH_ERRORS = _described(
    (400, "`invalid_json`: the body cannot be read"),
    (401, "`invalid_key`: missing, unknown, expired or revoked"),
    (403, "this key may not do that"),
    (413, "`too_large`: the body is larger than the server takes"),
    (422, "`invalid_request`: the request does not fit the schema; `detail` lists where"),
    (503, "`overloaded`, `database_unavailable`, `database_busy`; `Retry-After` says when to come back"),
)
JOB_ERRORS = AUTH_ERRORS | _described(
    (429, "`rate_limited`: too many new jobs; `Retry-After` says when to come back"),
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
        "`llm_call_failed`: no model of the group could answer, or the provider refuses the operator's account or key",
    ),
    (503, "`provider_unavailable`, `model_timeout`, `overloaded`"),
    (504, "`call_timeout`: the call took longer than the server lets a call take, all its attempts together"),
)
SSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
