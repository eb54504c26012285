"""What the administrator's routes share: their refusals in OpenAPI, and how lists are paged."""

from typing import Annotated

from fastapi import Query

from control_plane.api.responses import AUTH_ERRORS, ErrorAnswer

ADMIN_ERRORS = {
    **AUTH_ERRORS,
    403: {"model": ErrorAnswer, "description": "`admin_only`, `team_not_owned`, and what the route itself says"},
    404: {"model": ErrorAnswer, "description": "there is no such thing; a malformed id is simply not found"},
    409: {"model": ErrorAnswer, "description": "the state of things does not allow it; `error.code` says why"},
}

PageLimit = Annotated[int, Query(ge=1, le=1000)]
PageOffset = Annotated[int, Query(ge=0, le=10_000_000)]
