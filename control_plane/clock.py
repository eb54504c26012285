"""The only caller of `datetime.now`. Pure functions receive the time; services receive a clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment, aware, in UTC."""


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)
