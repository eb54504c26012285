"""When periods begin, where clocks change, months end and days are left out."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.credits.refills import Period, Schedule

DAILY, WEEKLY, MONTHLY = Period.DAILY, Period.WEEKLY, Period.MONTHLY


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(schedule: Schedule, since: str, number: int) -> list[str]:
    """The first days of the periods that begin after a moment."""
    moment, found = utc(since), []
    for _ in range(number):
        day = schedule.after(moment)
        found.append(day.isoformat())
        moment = schedule.begins_at(day)
    return found


@pytest.mark.parametrize(
    ("period", "starts_on", "since", "expected"),
    [
        (DAILY, "2026-03-01", "2026-03-01T12:00", ["2026-03-02", "2026-03-03"]),
        (DAILY, "2026-03-01", "2026-02-01T12:00", ["2026-03-01", "2026-03-02"]),  # not before it starts
        (DAILY, "2026-03-01", "2026-03-02T00:00", ["2026-03-03"]),  # after, not at
        (WEEKLY, "2026-03-04", "2026-03-01T12:00", ["2026-03-04", "2026-03-11", "2026-03-18"]),
        (WEEKLY, "2025-12-29", "2026-03-01T12:00", ["2026-03-02", "2026-03-09"]),
        (MONTHLY, "2026-01-15", "2026-01-20T00:00", ["2026-02-15", "2026-03-15"]),
        (
            MONTHLY,
            "2025-10-31",
            "2025-10-31T12:00",
            ["2025-11-30", "2025-12-31", "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"],
        ),
        (MONTHLY, "2023-12-30", "2024-01-30T12:00", ["2024-02-29", "2024-03-30"]),  # a leap year
        (MONTHLY, "2024-02-29", "2025-01-30T12:00", ["2025-02-28", "2025-03-29"]),
        (MONTHLY, "2026-01-31", "2030-01-31T00:00", ["2030-02-28"]),  # years later
    ],
)
def test_periods_are_counted_from_their_first_day(
    period: Period, starts_on: str, since: str, expected: list[str]
) -> None:
    schedule = Schedule(period, "UTC", date.fromisoformat(starts_on))
    assert days(schedule, since, len(expected)) == expected


@pytest.mark.parametrize(
    ("timezone", "day", "begins_at"),
    [
        ("UTC", "2026-03-29", "2026-03-29T00:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00"),  # clocks go forward later that day
        ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00"),
        ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00"),
        ("America/Havana", "2024-11-03", "2024-11-03T04:00"),  # midnight comes twice: the first one
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00"),  # there is no midnight: the day begins at 01:00
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),
        ("Pacific/Kiritimati", "2026-03-01", "2026-02-28T10:00"),
        ("Asia/Kathmandu", "2026-03-01", "2026-02-28T18:15"),
    ],
)
def test_a_day_begins_with_its_first_moment(timezone: str, day: str, begins_at: str) -> None:
    begins = Schedule(DAILY, timezone, date(2000, 1, 1)).begins_at(date.fromisoformat(day))
    assert begins == utc(begins_at)
    zone = ZoneInfo(timezone)
    assert begins.astimezone(zone).date() == date.fromisoformat(day)
    assert (begins - timedelta(microseconds=1)).astimezone(zone).date() < date.fromisoformat(day)


def test_a_day_that_a_timezone_left_out_is_not_refilled_beside_the_next() -> None:
    # Samoa went from the 29th of December 2011 straight to the 31st
    apia = Schedule(DAILY, "Pacific/Apia", date(2011, 12, 28))
    assert days(apia, "2011-12-29T11:00", 3) == ["2011-12-30", "2012-01-01", "2012-01-02"]
    assert apia.begins_at(date(2011, 12, 30)) == apia.begins_at(date(2011, 12, 31)) == utc("2011-12-30T10:00")
    monthly = Schedule(MONTHLY, "Pacific/Apia", date(2011, 10, 30))
    assert days(monthly, "2011-11-30T11:00", 2) == ["2011-12-30", "2012-01-30"], "the month is refilled all the same"


SCHEDULES = st.builds(
    Schedule,
    st.sampled_from(Period),
    st.sampled_from(
        [
            "UTC",
            "Europe/Berlin",
            "Pacific/Apia",
            "Pacific/Kwajalein",
            "America/Havana",
            "Africa/Cairo",
            "America/Sao_Paulo",
            "Australia/Lord_Howe",
            "Asia/Tehran",
        ]
    ),
    st.dates(date(2000, 1, 1), date(2030, 1, 1)),
)
MOMENTS = st.datetimes(datetime(1993, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as Hypothesis wants its bounds


@given(schedule=SCHEDULES, moment=MOMENTS)
def test_the_next_period_is_the_first_one_after(schedule: Schedule, moment: datetime) -> None:
    day = schedule.after(moment)
    begins = schedule.begins_at(day)
    assert begins > moment
    assert day >= schedule.starts_on
    # and the one after it comes neither at once nor late
    following = schedule.begins_at(schedule.after(begins))
    longest = {DAILY: 2, WEEKLY: 8, MONTHLY: 32}[schedule.period]
    assert timedelta() < following - begins <= timedelta(days=longest)
    # nothing was left out before it
    earlier = schedule.after(moment - timedelta(days=40))
    while schedule.begins_at(earlier) <= moment:
        earlier = schedule.after(schedule.begins_at(earlier))
    assert earlier == day


@given(starts_on=st.dates(date(2000, 1, 1), date(2030, 1, 1)), number=st.integers(min_value=1, max_value=60))
def test_every_month_has_one_refill_on_its_day_or_its_last(starts_on: date, number: int) -> None:
    schedule = Schedule(MONTHLY, "UTC", starts_on)
    moment = schedule.begins_at(starts_on) - timedelta(seconds=1)
    months = []
    for _ in range(number):
        day = schedule.after(moment)
        moment = schedule.begins_at(day)
        months.append(day.year * 12 + day.month)
        is_last = (day + timedelta(days=1)).month != day.month
        assert day.day == starts_on.day or (is_last and day.day < starts_on.day)
    assert months == list(range(months[0], months[0] + number))
