"""Shared by the administrator's routes: their error responses in OpenAPI, and pagination."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Path, Query

from control_plane.api.http.openapi_errors import AUTH_ERRORS, ErrorAnswer
from control_plane.errors import Unprocessable
from control_plane.ids import parse_id
from control_plane.names import is_valid_slug

ADMIN_ERRORS = {
    **AUTH_ERRORS,
    403: {
        "model": ErrorAnswer,
        "description": "`admin_only`, `team_not_owned`, or as described",
    },
    404: {"model": ErrorAnswer, "description": "not found; also for a malformed id"},
    409: {"model": ErrorAnswer, "description": "state conflict; see `error.code`"},
}

OrganizationPath = Annotated[str, Path(description="id of the organization")]
TeamPath = Annotated[str, Path(description="id of the team")]
KeyPath = Annotated[str, Path(description="id of the key, from create and list; not the key itself")]
GroupPath = Annotated[str, Path(description="name of the model group")]

PageLimit = Annotated[int, Query(ge=1, le=1000, description="entries per page, 1 to 1,000")]
PageOffset = Annotated[
    int,
    Query(ge=0, le=10_000_000, description="entries to skip; prefer `cursor` for more than a few pages"),
]
PageCursor = Annotated[str | None, Query(description="`next_cursor` of the previous page; faster than a large offset")]

T = TypeVar("T")

NOT_OURS = "The cursor is not one of ours; begin again without one."


def name_in(cursor: str | None) -> str:
    """The name that a page begins behind; before all names without a cursor. Raises: Unprocessable."""
    if cursor is not None and not is_valid_slug(cursor):
        raise Unprocessable(NOT_OURS)
    return cursor or ""


def id_in(cursor: str | None) -> UUID | None:
    """The id that a page begins behind. Raises: Unprocessable."""
    before = None if cursor is None else parse_id(cursor)
    if cursor is not None and before is None:
        raise Unprocessable(NOT_OURS)
    return before


def page_of(rows: Sequence[T], limit: int, cursor: Callable[[T], object]) -> tuple[Sequence[T], str | None]:
    """The rows of a page and its `next_cursor`: the last of `limit + 1` rows only shows that there are more."""
    page = rows[:limit]
    return page, str(cursor(page[-1])) if len(rows) > limit else None
