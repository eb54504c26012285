"""Numbers that a provider reports, or None for impossible ones. Pure."""

import math
from typing import Any

MOST_TOKENS = 20_000_000
"""More than any context window; a larger count is not believed."""

MOST_DOLLARS = 100_000.0


def tokens_of(value: Any) -> int | None:
    """A count of tokens; None for what cannot be one."""
    if value is None:
        return None
    if type(value) is int:
        return value if 0 <= value <= MOST_TOKENS else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and number.is_integer() and 0 <= number <= MOST_TOKENS else None


def dollars_of(value: Any) -> float | None:
    """A cost in US dollars; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= MOST_DOLLARS else None
