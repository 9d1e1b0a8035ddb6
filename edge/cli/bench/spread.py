"""A figure is not a number: what was measured again and again, in the middle and at both ends."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some repeats, and the least and the most of them."""

    median: float
    low: float
    high: float
    repeats: int

    def __str__(self) -> str:
        if self.repeats == 1:
            return f"{short(self.median)} (measured once)"
        return f"{short(self.median)} ({short(self.low)} to {short(self.high)} over {self.repeats})"


def spread_of(values: Iterable[float]) -> Spread:
    """Gather repeats."""
    repeats = sorted(values)
    return Spread(median=statistics.median(repeats), low=repeats[0], high=repeats[-1], repeats=len(repeats))


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value below which this share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rounded(value: float) -> float:
    """Keep four significant digits: the rest is chance."""
    return float(f"{value:.4g}")


def short(value: float) -> str:
    """Write a value with four significant digits, large ones without exponent."""
    return f"{rounded(value):,.10g}"
