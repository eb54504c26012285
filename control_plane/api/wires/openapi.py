"""What several APIs of calls say in OpenAPI: the statuses of their errors, and their answers."""

from typing import Any

from control_plane.schemas.base import Answer

Responses = dict[int | str, dict[str, Any]]

ERROR_DESCRIPTIONS = (
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
STREAM: Responses = {
    200: {
        "description": "the answer, or with `stream` its events",
        "content": {"application/json": {}, "text/event-stream": {"schema": {"type": "string"}}},
    }
}


def error_responses(model: type[Answer], *more: tuple[int, str]) -> Responses:
    """The error responses of an API, in the form of that model; `more`: statuses that only this API has."""
    return {
        status: {"model": model, "description": description} for status, description in (*ERROR_DESCRIPTIONS, *more)
    }
