"""What a site file may say about devices that exist only in this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge.domain.settings import ValueType

# A script or fault list longer than this is a mistake, not a test.
STEPS_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedConnectionOptions:
    """One pretended wire."""

    # Equal seeds give equal values, whatever the order of polls between devices.
    seed: int = 0
    # "polled": the devices answer when asked. "pushed": they speak in turn, one sample each `push_interval_ms`.
    mode: Literal["polled", "pushed"] = "polled"
    push_interval_ms: int = 1000

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        if not 0 <= self.push_interval_ms <= 3_600_000:
            return [f"push_interval_ms is {self.push_interval_ms}; it must be from 0 to 3600000"]
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFault:
    """Something that goes wrong, counted in polls so that a test can foresee it."""

    kind: Literal["unreachable", "malformed", "not_a_number", "slow", "connection_lost"]
    # The first poll (from 1) that meets the fault, and how many do.
    from_poll: int = 1
    polls: int = 1
    # Again after so many polls; 0 = once.
    every_polls: int = 0
    # How late a "slow" answer comes.
    delay_ms: int = 1000

    def meets(self, poll: int) -> bool:
        """Whether a poll (counted from 1) meets the fault."""
        since = poll - self.from_poll
        if since < 0:
            return False
        return (since % self.every_polls if self.every_polls else since) < self.polls

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if self.from_poll < 1 or self.polls < 1 or self.every_polls < 0:
            yield "a fault has from_poll and polls of at least 1, and every_polls of at least 0"
        if not 0 <= self.delay_ms <= 60_000:
            yield f"delay_ms is {self.delay_ms}; it must be from 0 to 60000"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDeviceOptions:
    """One pretended device."""

    faults: tuple[SimulatedFault, ...] = ()

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return [mistake for fault in self.faults for mistake in fault.mistakes()]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPointOptions:
    """Where a pretended value comes from: a script, or a walk of random steps between two ends."""

    # One value for each poll, then from the start again. Empty = random walk. (In code, NaN is a sensor fault.)
    values: tuple[float | bool | str, ...] = ()
    start: float = 20.0
    # The longest step from one poll to the next.
    step: float = 0.1
    low: float = 0.0
    high: float = 100.0
    decimals: int = 2

    @property
    def value_type(self) -> ValueType:
        """Return the type of the point's values in events."""
        if any(isinstance(value, bool) for value in self.values):
            return ValueType.BOOLEAN
        if any(isinstance(value, str) for value in self.values):
            return ValueType.TEXT
        return ValueType.NUMBER

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all texts that the point can have."""
        return tuple(dict.fromkeys(str(value) for value in self.values))

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if len({isinstance(value, bool) + 2 * isinstance(value, str) for value in self.values}) > 1:
            yield "values mixes numbers, booleans and texts; a point's type is one of them"
        if len(self.values) > STEPS_MAX:
            yield f"values has {len(self.values)} entries; at most {STEPS_MAX}"
        if not self.low <= self.start <= self.high:
            yield f"start is {self.start}; it must lie between low ({self.low}) and high ({self.high})"
        if self.step < 0:
            yield "step must not be negative"
        if not 0 <= self.decimals <= 9:
            yield f"decimals is {self.decimals}; it must be from 0 to 9"
