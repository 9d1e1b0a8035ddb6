"""The tables of site files and profiles as they are written; what is left out is None and gets its default elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from edge.domain.settings import DeviceRemote, Limits, PointRemote


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsTable:
    """`{ min = 2, max = 3600 }`."""

    min: float
    max: float

    def __post_init__(self) -> None:
        if not self.min <= self.max:
            raise ValueError(f"min ({self.min:g}) must not be above max ({self.max:g})")

    def limits(self) -> Limits:
        """The same for the daemon."""
        return Limits(minimum=self.min, maximum=self.max)


def _limits(table: LimitsTable | None) -> Limits | None:
    return None if table is None else table.limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRemoteTable:
    """What may be set from far at a point."""

    offset: LimitsTable | None = None
    gain: LimitsTable | None = None
    deadband: LimitsTable | None = None
    max_silence_s: LimitsTable | None = None

    def remote(self) -> PointRemote:
        """The same for the daemon."""
        return PointRemote(
            offset=_limits(self.offset),
            gain=_limits(self.gain),
            deadband=_limits(self.deadband),
            max_silence_s=_limits(self.max_silence_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRemoteTable:
    """What may be set from far at a device."""

    enabled: bool = False
    poll_interval_s: LimitsTable | None = None

    def remote(self) -> DeviceRemote:
        """The same for the daemon."""
        return DeviceRemote(enabled=self.enabled, poll_interval_s=_limits(self.poll_interval_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTable:
    """`[connection.device.point.X]` over the profile's `[point.X]`, without the driver's keys."""

    quantity: str | None = None
    # The device's own unit; also of `range`.
    unit: str | None = None
    range: tuple[float, float] | None = None
    publish: bool = True
    # From here on in the canonical unit.
    gain: float | None = None
    offset: float | None = None
    deadband: float | None = None
    max_silence_s: float | None = None
    remote: PointRemoteTable | None = None

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if self.range is not None and not -inf < self.range[0] < self.range[1] < inf:
            yield "range must be two numbers, the lower first"
        if self.gain == 0:
            yield "gain is 0: every value would be the same"
        if self.deadband is not None and self.deadband < 0:
            yield f"deadband is {self.deadband:g}; it must be 0 (report everything) or more"
        if self.max_silence_s is not None and self.max_silence_s <= 0:
            yield f"max_silence_s is {self.max_silence_s:g}; it must be more than 0"


# Keys of a point that a profile may not have: they belong to one device at one site.
SITE_POINT_KEYS = ("gain", "deadband", "max_silence_s", "remote")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTable:
    """`[[connection.device]]` without its points and the driver's keys."""

    id: str
    name: str = ""
    location: str = ""
    profile: str | None = None
    enabled: bool = True
    poll_interval_s: float | None = None
    max_silence_s: float | None = None
    remote: DeviceRemoteTable | None = None
    # The profile's; the device gives no new value sooner.
    poll_interval_min_s: float = 0.0

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        for name in ("poll_interval_s", "max_silence_s"):
            value = getattr(self, name)
            # A day: whoever means a week has mistaken the unit.
            if value is not None and not 0.01 <= value <= 86_400:
                yield f"{name} is {value:g}; it must be from 0.01 to 86400 seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTable:
    """`[[connection]]` without its devices and the driver's keys."""

    id: str
    driver: str
    poll_interval_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTable:
    """`[gateway]`: only where one site has several boxes."""

    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """`[profile]`: what a profile says of itself."""

    id: str
    version: int
    driver: str
    title: str
    # The manual, data sheet or measurement that the facts come from.
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTable:
    """A profile's factory settings of the serial line: `check` compares them with the connection's."""

    baud_rate: int | None = None
    format: str | None = None
