"""Money and tokens as integers, with the only places where floats enter and leave.

1 USD = 1_000_000_000 nano-USD. Prices per token go down to fractions of a nano-dollar, so they are rounded up on entry,
once, here; everything behind it adds integers.
"""

from decimal import ROUND_CEILING, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)
"""Thousand-millionths of a US dollar."""

Credits = NewType("Credits", int)
"""What teams buy and jobs cost; whole numbers."""

Tokens = NewType("Tokens", int)

NANO_PER_USD = 1_000_000_000

BPS = 10_000


def nano_usd(dollars: float | str | Decimal) -> NanoUsd:
    """Dollars as nano-USD, rounded up.

    A float goes through its shortest text: 0.000033 is 33000, where `int(0.000033 * 1e9)` would give 32999.
    Raises: ValueError for NaN, infinity and negative amounts.
    """
    amount = Decimal(repr(dollars)) if isinstance(dollars, float) else Decimal(dollars)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"not an amount of money: {dollars!r}")
    return NanoUsd(int((amount * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING)))


def usd(amount: NanoUsd | int) -> float:
    """Nano-USD as dollars, for JSON answers only."""
    return float(Decimal(amount) / NANO_PER_USD)


def marked_up(cost: int, markup_bps: int) -> NanoUsd:
    """A cost and its markup, which is in basis points: hundredths of a percent. Rounded up."""
    return NanoUsd(divide_up(cost * (BPS + markup_bps), BPS))


def divide_up(dividend: int, divisor: int) -> int:
    """The quotient, rounded up: what is begun is paid."""
    return -(-dividend // divisor)
