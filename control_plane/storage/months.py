"""Months of tables that are partitioned by id. Pure: names, bounds, and which partitions are missing or over.

An id carries the time it was made (`ids.py`), so the ids of a month are a range: from the least id of its first moment, in
UTC, up to that of the next month.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from control_plane.errors import Unprocessable
from control_plane.ids import first_id_at

AHEAD = 2
"""How many months behind the present one have their partition already."""

MONTHS_A_YEAR = 12
LAST_YEAR = 9998
FIRST_YEAR = 1970

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_BOUND = re.compile(
    r"FOR VALUES FROM \((?:'(?P<lower>[0-9a-f-]{36})'|MINVALUE)\) TO \((?:'(?P<upper>[0-9a-f-]{36})'|MAXVALUE)\)"
)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """The one that a moment is in."""
        then = moment.astimezone(UTC)
        return cls(then.year, then.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """`2026-01`. Raises: Unprocessable."""
        found = _MONTH.fullmatch(text)
        if found is None or not FIRST_YEAR <= int(found[1]) <= LAST_YEAR or not 1 <= int(found[2]) <= MONTHS_A_YEAR:
            raise Unprocessable(f"{text!r} is no month: write it as 2026-01.")
        return cls(int(found[1]), int(found[2]))

    def plus(self, months: int) -> "Month":
        """So many months later."""
        year, index = divmod(self.year * MONTHS_A_YEAR + self.number - 1 + months, MONTHS_A_YEAR)
        return Month(year, index + 1)

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def first_id(self) -> UUID:
        """The least id of its first moment: those of the months before are smaller."""
        return first_id_at(self.start)

    @property
    def suffix(self) -> str:
        """As it ends the name of a partition."""
        return f"{self.year:04}_{self.number:02}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A table that holds a range of a partitioned table's ids: `lower` inclusive, `upper` exclusive.

    `is_default`: it holds what no other one does. None as a bound: all that come before, or after.
    """

    name: str
    lower: UUID | None = None
    upper: UUID | None = None
    is_default: bool = False

    @property
    def is_month(self) -> bool:
        """Whether it has a beginning and an end, as those that `partitions.py` makes for months."""
        return self.lower is not None and self.upper is not None

    def is_over(self, before: UUID) -> bool:
        """Whether all ids that it can hold are smaller."""
        return self.upper is not None and self.upper <= before

    def holds(self, id_: UUID) -> bool:
        """Whether an id is in its range."""
        return not self.is_default and (self.lower or UUID(int=0)) <= id_ and (self.upper is None or id_ < self.upper)

    def is_exactly(self, month: Month) -> bool:
        """Whether it holds that month and nothing else."""
        return (self.lower, self.upper) == (month.first_id, month.plus(1).first_id)


def partition_of(name: str, bound: str) -> Partition:
    """A partition by its bound as Postgres writes it. One that was made by hand otherwise counts as a default one."""
    found = _BOUND.fullmatch(bound)
    if found is None:
        return Partition(name, is_default=True)
    lower, upper = found["lower"], found["upper"]
    return Partition(name, UUID(lower) if lower else None, UUID(upper) if upper else None)


def missing(partitions: Collection[Partition], now: datetime) -> Sequence[Month]:
    """The months, from the present one on, that no partition holds yet."""
    wanted = [Month.of(now).plus(number) for number in range(AHEAD + 1)]
    return [month for month in wanted if not any(each.holds(month.first_id) for each in partitions)]


def first_month(now: datetime, *, is_empty: bool) -> Month:
    """The first month with a partition of its own when a table becomes partitioned: what is there, and what is written while
    that goes on, stays before it.
    """
    return Month.of(now) if is_empty else Month.of(now).plus(2)


def months_from(first: Month, now: datetime) -> Sequence[Month]:
    """The months that have a partition of their own when the first of them is known: up to those that are made ahead."""
    last = Month.of(now).plus(AHEAD)
    return [
        first.plus(number)
        for number in range((last.year - first.year) * MONTHS_A_YEAR + last.number - first.number + 1)
    ]


def is_late(first: Month, now: datetime) -> bool:
    """Whether a conversion that was begun must be begun anew: its first month is the next one, or has begun."""
    return first <= Month.of(now).plus(1)
