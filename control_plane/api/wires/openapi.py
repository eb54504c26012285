"""The responses of OpenAI's routes, for OpenAPI."""

from typing import Any

from pydantic import Field

from control_plane.api.http.openapi_errors import ProviderFacts
from control_plane.schemas.base import Answer


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


DESCRIPTIONS = (
    (400, "unparsable, does not fit the schema, or rejected by the provider"),
    (401, "`invalid_api_key`"),
    (403, "`insufficient_credits`, `model_group_not_allowed`, `job_not_owned`, `at_risk_limit`, …"),
    (404, "`model_not_found`, `job_not_found`"),
    (409, "`job_closed`"),
    (413, "`too_large`"),
    (422, "not sent: 400 takes its place"),
    (429, "rate limits, ours or the provider's; retry after `Retry-After`"),
    (500, "every model of the group failed; a failed call costs nothing"),
    (503, "overloaded, no model available, or database down; retry after `Retry-After`"),
)
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAiErrorAnswer, "description": description} for status, description in DESCRIPTIONS
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the answer, or with `stream` its events",
        "content": {"application/json": {}, "text/event-stream": {"schema": {"type": "string"}}},
    }
}
