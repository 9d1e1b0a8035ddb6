"""Samples that the full outbox refused: counted, and declared once it takes drafts again. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

# A queue that is now full, now not, must not turn each refused sample into an event.
DECLARATION_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """How many samples of one device were refused, and from when to when they were measured."""

    count: int
    first_measured_at_ms: int
    last_measured_at_ms: int

    def with_one_more(self, measured_at_ms: int) -> "Refused":
        """Count another one."""
        return replace(
            self,
            count=self.count + 1,
            first_measured_at_ms=min(self.first_measured_at_ms, measured_at_ms),
            last_measured_at_ms=max(self.last_measured_at_ms, measured_at_ms),
        )


class RefusalTally:
    """The refused samples of one connection's devices that are not declared yet."""

    def __init__(self) -> None:
        self._refused: dict[str, Refused] = {}
        self._declared_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._refused)

    def refuse(self, device_id: str, measured_at_ms: int) -> None:
        """Count a refused sample."""
        refused = self._refused.get(device_id)
        self._refused[device_id] = (
            Refused(count=1, first_measured_at_ms=measured_at_ms, last_measured_at_ms=measured_at_ms)
            if refused is None
            else refused.with_one_more(measured_at_ms)
        )

    def declare(self, offer: Callable[[str, Refused], bool], *, now_s: float, is_last: bool = False) -> None:
        """Offer each device's count; what is taken is declared and forgotten, what is not goes on counting.

        `is_last` leaves no count behind for the sake of quiet: the gateway stops.
        """
        for device_id, refused in list(self._refused.items()):
            is_early = now_s - self._declared_s.get(device_id, -math.inf) < DECLARATION_INTERVAL_S
            if is_early and not is_last:
                continue
            if not offer(device_id, refused):
                return
            del self._refused[device_id]
            self._declared_s[device_id] = now_s
