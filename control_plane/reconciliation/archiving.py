"""Whether a month may be archived, and what an archive holds. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from control_plane.errors import Unprocessable
from control_plane.storage.months import Month

MARGIN = timedelta(hours=25)
"""After a month's end rows with ids of it may still be written: a request with a key may be repeated for a day under the
first one's time, and clocks differ.
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """Of the rows of a table, or the lines of a file: how many there are, and what they cost together, in nano-USD."""

    rows: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Exported:
    """A month in files of a folder, by table."""

    month: Month
    folder: Path
    tables: Mapping[str, Sums]


def require_over(month: Month, now: datetime) -> None:
    """Raises: Unprocessable for a month in which calls may still be written."""
    over = month.plus(1).start + MARGIN
    if now < over:
        raise Unprocessable(f"{month} is not over: archive it from {over:%Y-%m-%d %H:%M} UTC on.")


def require_closed(month: Month, open_jobs: int) -> None:
    """Raises: Unprocessable for a month of which jobs are open: their bills need their calls."""
    if open_jobs:
        raise Unprocessable(
            f"{open_jobs} job(s) from before the end of {month} are open. Complete or cancel them, or wait until they expire "
            "(31 days at most)."
        )


def require_first(month: Month, *, has_earlier: bool) -> None:
    """Raises: Unprocessable where calls or spend logs of earlier months are still there: what was archived is all before
    a moment, so that a report of a call which is not there can be judged.
    """
    if has_earlier:
        raise Unprocessable(f"There are calls or spend logs from before {month}: archive those months first.")


def require_rows(month: Month, tables: Mapping[str, Sums], archived_at: datetime | None) -> None:
    """Raises: Unprocessable for a month without calls and spend logs."""
    if any(each.rows for each in tables.values()):
        return
    if archived_at is not None:
        raise Unprocessable(f"{month} was archived on {archived_at:%Y-%m-%d}; nothing of it is left.")
    raise Unprocessable(f"There are no calls and no spend logs of {month}.")


def require_same(table: str, exported: Sums, kept: Sums) -> None:
    """Raises: Unprocessable where a file does not hold what the database does."""
    if exported != kept:
        raise Unprocessable(
            f"The file of {table} has {exported.rows} rows that cost {exported.cost} nano-USD, the database {kept.rows} that "
            f"cost {kept.cost}. Nothing was removed; delete the files and archive the month again."
        )
