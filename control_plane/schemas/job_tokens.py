"""Request and response models of job tokens."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from control_plane.schemas.base import Answer, Body, GroupName, Moment
from control_plane.schemas.origins import MAX_ORIGINS, origin_of

DEFAULT_TTL_S, MAX_TTL_S = 900, 86_400
MAX_GROUPS = 100


class CreateJobToken(Body):
    """Creates a short-lived token for web pages and one job."""

    ttl_seconds: Annotated[int, Field(strict=True, ge=1, le=MAX_TTL_S)] = Field(
        default=DEFAULT_TTL_S, description="seconds after which the token expires, 1 to 86,400"
    )
    origins: Annotated[
        Sequence[Annotated[str, AfterValidator(origin_of)]],
        Field(
            max_length=MAX_ORIGINS,
            description="web origins whose pages may use it: `https://app.example.com`; default: those of the key",
        ),
    ] = ()
    model_groups: Annotated[Sequence[GroupName], Field(min_length=1, max_length=MAX_GROUPS)] | None = Field(
        default=None, description="the only model groups it may use, of the key's"
    )
    may_complete: bool = Field(default=False, description="whether the page may complete the job")


class JobTokenCreated(Answer):
    """A new token. It is shown only once."""

    token: str = Field(description="the token itself (`jt-…`): shown only once")
    job_id: str = Field(description="id of the job")
    origins: Sequence[str] = Field(
        description="web origins whose pages may use it: `https://app.example.com`; at most 50"
    )
    model_groups: Sequence[str] | None = Field(
        description="the only model groups it may use; null: all that the key may"
    )
    may_complete: bool = Field(description="whether the page may complete the job")
    expires_at: Moment = Field(description="when it expires (RFC 3339, UTC)")
