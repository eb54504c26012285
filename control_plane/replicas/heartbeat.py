"""The state of this process's clock and heartbeat: what its lease permits. Pure; times are those of `time.monotonic`."""

import math
from datetime import datetime, timedelta

MOST_SKEW = timedelta(seconds=5)
"""The largest difference between this process' clock and the database's. Beyond it, a process does no periodic tasks:
it would do them at a wrong time.
"""

HEARTBEATS = 6
"""In one lease: a process that works misses none of so many."""


def least_skew(before: datetime, there: datetime, after: datetime) -> timedelta:
    """The least time by which the database's clock is ahead of ours, if it showed `there` between our `before` and
    `after`.

    The least, because a process that waited for the processor has no wrong clock.
    """
    if there > after:
        return there - after
    return min(there - before, timedelta(0))


class Heartbeat:
    """When the lease was last renewed, and by how much the clocks differed then."""

    def __init__(self, lease: timedelta) -> None:
        self.lease = lease
        self.every_s = lease.total_seconds() / HEARTBEATS
        self.skew = timedelta(0)
        self._renewed_at = -math.inf
        self._judges_from = -math.inf

    def renewed(self, begun_at: float) -> None:
        """The database took a heartbeat that was begun at this time."""
        self._renewed_at = max(self._renewed_at, begun_at)

    def failed(self, now: float) -> None:
        """The database took none. The others may not have been able to renew their leases either."""
        self.judge_from(now + self.lease.total_seconds())

    def judge_from(self, moment: float) -> None:
        """No other process is declared dead before this time."""
        self._judges_from = max(self._judges_from, moment)

    def age_s(self, now: float) -> float:
        """Seconds since the last renewal of the lease."""
        return now - self._renewed_at

    def is_overdue(self, now: float) -> bool:
        """Whether half the lease is over. Others will soon take this process for dead: it may begin nothing."""
        return self.age_s(now) > self.lease.total_seconds() / 2

    @property
    def is_skewed(self) -> bool:
        """Whether our clock is wrong, or the database's."""
        return abs(self.skew) > MOST_SKEW

    def may_judge(self, now: float) -> bool:
        """Whether this process may declare others dead, and do what is due."""
        return now >= self._judges_from and not self.is_overdue(now) and not self.is_skewed
