"""Chance that comes in as an argument: seeded, so that a run can be repeated."""

import math
from typing import Protocol


class Noise(Protocol):
    """Where chance comes from; a seeded `random.Random` is one."""

    def gauss(self, mu: float, sigma: float) -> float:
        """Draw from a normal distribution."""


def wandered(
    value: float,
    mean: float,
    spread: float,
    share: float,
    noise: Noise,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> float:
    """Let a value wander about its mean (Ornstein-Uhlenbeck), `share` of its relaxation time further."""
    pull = 1 - math.exp(-share)
    step = spread * math.sqrt(1 - math.exp(-2 * share))
    return min(high, max(low, value + pull * (mean - value) + noise.gauss(0.0, step)))
