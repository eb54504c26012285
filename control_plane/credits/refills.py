"""Dates of a team's refills: periods of local days, counted from one of them. Pure.

A period is named by its first local date. A month that lacks the day of the month has its last day instead. Where
clocks change, a day begins with its first moment, and a day that a timezone left out begins no period of its own.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import assert_never
from zoneinfo import ZoneInfo, available_timezones


class Period(StrEnum):
    """The length of a refill's period."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The periods of a team: the first begins on `starts_on`, a local date in `timezone` (an IANA name)."""

    period: Period
    timezone: str
    starts_on: date

    def begins_at(self, day: date) -> datetime:
        """The moment, in UTC, at which a local day begins."""
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def after(self, moment: datetime) -> date:
        """The first day of the first period that begins after this moment."""
        today = moment.astimezone(ZoneInfo(self.timezone)).date()
        number = max(0, self._number(today) - 1)
        while self.begins_at(self._first_day(number)) <= moment:
            number += 1
        return self._first_day(number)

    def _number(self, day: date) -> int:
        """About how many periods lie between `starts_on` and a day: at most one too many."""
        match self.period:
            case Period.DAILY:
                return (day - self.starts_on).days
            case Period.WEEKLY:
                return (day - self.starts_on).days // 7
            case Period.MONTHLY:
                return (day.year - self.starts_on.year) * 12 + day.month - self.starts_on.month
            case _:
                assert_never(self.period)

    def _first_day(self, number: int) -> date:
        """The first day of a period, counted from 0."""
        match self.period:
            case Period.DAILY:
                return self.starts_on + timedelta(days=number)
            case Period.WEEKLY:
                return self.starts_on + timedelta(weeks=number)
            case Period.MONTHLY:
                years, month = divmod(self.starts_on.month - 1 + number, 12)
                year, month = self.starts_on.year + years, month + 1
                return date(year, month, min(self.starts_on.day, monthrange(year, month)[1]))
            case _:
                assert_never(self.period)


@cache
def timezones() -> frozenset[str]:
    """The names of this host's time zones."""
    return frozenset(available_timezones())
