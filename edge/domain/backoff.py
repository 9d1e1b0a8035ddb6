"""How long to wait before the next try: longer each time, spread by chance, without an end."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential waiting with jitter, as a pure function of the number of failures."""

    first_s: float
    longest_s: float

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.longest_s:
            raise ValueError("a back-off needs 0 < first_s <= longest_s")

    def delay_s(self, failures: int, chance: Callable[[], float]) -> float:
        """Return the seconds to wait after that many failures in a row (1 or more).

        `chance` gives a number in [0, 1). The wait is between one half and the whole of the doubled step, so that
        a hundred gateways that lost the same store do not come back in the same second.
        """
        # Doubling stops mattering long before 32; the limit keeps the power from overflowing after months.
        step_s = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return step_s * (0.5 + 0.5 * chance())
