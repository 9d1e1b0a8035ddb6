"""Calculating with numbers as people write them: 305 by 0.1 is 30.5, not 30.500000000000004. No I/O."""

from collections.abc import Sequence
from decimal import Decimal

# Where scale or unit have no short decimal form (5/9), digits beyond these are noise of the arithmetic.
DECIMALS_MAX = 12


def exact(number: float) -> Decimal:
    """Return a number as it is written: 0.1 is one tenth."""
    return Decimal(repr(number))


def polynomial_value(coefficients: Sequence[Decimal], variable: Decimal) -> Decimal:
    """Return the value of a polynomial, its coefficients given from the constant upwards."""
    value = Decimal()
    for coefficient in reversed(coefficients):
        value = value * variable + coefficient
    return value


def shown(number: Decimal) -> float:
    """Return a number as a float, without the digits that only the arithmetic made."""
    # Zero has no sign: -0.0 would be told as a change from 0.0.
    return round(float(number), DECIMALS_MAX) + 0.0
