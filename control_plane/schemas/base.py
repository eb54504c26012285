"""Base classes of all request and response models."""

from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

ignored_fields: ContextVar[list[str] | None] = ContextVar("ignored_fields", default=None)
"""Unknown request fields, collected while a body is read; the server reports them in a header."""


class Body(BaseModel):
    """A request body. Unknown fields are accepted, left out and reported in `X-Ignored-Fields`; NaN is refused."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)

    @model_validator(mode="after")
    def _report_unknown(self) -> Self:
        unknown = self.model_extra
        collected = ignored_fields.get()
        if unknown and collected is not None:
            collected.extend(unknown)
        return self


class Answer(BaseModel):
    """An answer. Its fields have no defaults, so that clients see in the schema what is always there."""

    model_config = ConfigDict(frozen=True)


def without_nul(text: str) -> str:
    """The rule for all text that is stored; what only goes to a provider may hold U+0000. Halves of characters are
    refused with the body (`api/http/routing.py`). Raises: ValueError.
    """
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


Text = Annotated[str, AfterValidator(without_nul)]
"""Text the database can keep: Postgres has no U+0000."""

Label = Annotated[Text, Field(max_length=200)]
"""A short text of the client's: the name of a model, the id of an end user."""

GroupName = Annotated[Text, Field(min_length=1, max_length=200)]
"""The name of a model group."""

Moment = Annotated[
    AwareDatetime, PlainSerializer(lambda moment: moment.isoformat().replace("+00:00", "Z"), return_type=str)
]
"""A time in RFC 3339, in UTC."""

Usd = Annotated[float, Field(gt=0, le=1_000_000)]
"""US dollars from a client."""

Json = dict[str, Any]
"""A JSON object that only its sender understands."""

MAX_DEPTH = 100  # what is given is copied and written by recursion, which ends at 255 levels in pydantic


def _shallow(given: Any) -> Any:
    level: list[Any] = [given]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return given
    raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time that exists in UTC") from None


GivenJson = Annotated[Json, AfterValidator(_shallow)]
"""A JSON object from a client that is handed on."""

GivenValue = Annotated[Any, AfterValidator(_shallow)]
"""Any JSON from a client that is handed on."""

GivenMoment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time from a client, with its zone: one that exists in UTC."""
