"""The columns that keep usage by kind, of a call and of an attempt alike.

The two totals and whether they are estimates are columns of the tables themselves.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from control_plane.completion.redaction import storable
from control_plane.completion.usage import KINDS, Usage

MAX_COUNT = 2**31 - 1
MAX_TIER = 50

NONE = {"server_default": text("0"), "default": None}
"""Zero, filled in by the database alone: an insert that does not name the column does not carry it."""


class UsageColumns(SQLModel):
    """Tokens by kind, as `completion.usage.Usage` has them; a table with them is also one of its subclasses."""

    cached_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    reasoning_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    cache_write_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    cache_write_1h_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    audio_input_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    audio_output_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    image_input_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    image_output_tokens: int = Field(default=0, sa_column_kwargs=NONE)
    units: int = Field(default=0, sa_column_kwargs=NONE)
    service_tier: str | None = None


USAGE_COLUMNS = (*KINDS, "service_tier")

_counts_of = attrgetter(*KINDS)
_NOTHING: Mapping[str, Any] = dict.fromkeys(KINDS, 0) | {"service_tier": None}


def usage_values(usage: Usage) -> Mapping[str, Any]:
    """The kinds as parameters. A provider's absurd detail is cut to what a column takes: the totals are what is billed."""
    counts = _counts_of(usage)
    if usage.service_tier is None and not any(counts):
        return _NOTHING  # most calls: this is on their path
    kept = (min(max(count, 0), MAX_COUNT) for count in counts)
    tier = None if usage.service_tier is None else storable(usage.service_tier, MAX_TIER)
    return {**dict(zip(KINDS, kept, strict=True)), "service_tier": tier}


def usage_from(row: Any, *, is_estimated: bool = False) -> Usage:
    """The usage that a row with these columns and the totals keeps."""
    kinds = {name: getattr(row, name) for name in USAGE_COLUMNS}
    return Usage(row.prompt_tokens, row.completion_tokens, is_estimated=is_estimated, **kinds)
