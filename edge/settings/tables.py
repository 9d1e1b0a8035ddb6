"""The tables of site files and profiles as they are written. A missing key is None, and gets its default elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeAlias, TypeVar

from edge.domain.identifier import is_identifier
from edge.domain.quantity import PointKind
from edge.domain.settable import (
    INTERVAL_S_MIN,
    POLL_INTERVAL_S,
    DeviceConfiguration,
    Limits,
    Part,
    PointConfiguration,
    Remote,
    Settable,
    settables,
    with_settables,
)
from edge.domain.settings import DeviceGroup, DeviceSettings, PointSettings

Value = TypeVar("Value", bool, int, float, str, tuple[str, ...])

# A day: a longer interval was written in another unit by mistake.
INTERVAL_S_MAX = 86_400.0
# A battery device that sends once a day may be a few hours late, and a valve may stay shut for days.
SILENCE_S_MAX = 604_800.0
# They stand in each DeviceDescribed.
LABELS_MAX = 32
LABEL_LENGTH_MAX = 256


def _default(owner: type, name: str, kind: type[Value]) -> Value:
    """Look a default up where it lives."""
    (default,) = (item.default for item in fields(owner) if item.name == name)
    assert isinstance(default, kind)
    return default


def _interval_mistakes(table: object, name: str, *, longest_s: float = INTERVAL_S_MAX) -> Iterator[str]:
    value = getattr(table, name)
    if value is not None and not INTERVAL_S_MIN <= value <= longest_s:
        yield f"{name} is {value:g}; it must be from {INTERVAL_S_MIN:g} to {longest_s:.0f} seconds"


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


@with_settables(Part.POINT, number=LimitsTable, switch=bool, off=False)
class PointRemoteTable:
    """What may be set remotely at a point."""


@with_settables(Part.DEVICE, number=LimitsTable, switch=bool, off=False)
class DeviceRemoteTable:
    """What may be set remotely at a device."""


RemoteTable: TypeAlias = DeviceRemoteTable | PointRemoteTable


def remote_of(table: RemoteTable | None, part: Part) -> Remote:
    """Return the same for the daemon."""
    found = {row.attribute: getattr(table, row.attribute, None) for row in settables(part)}
    return {
        name: written.limits() if isinstance(written, LimitsTable) else True
        for name, written in found.items()
        if written
    }


def _remote_mistakes(table: RemoteTable | None, part: Part) -> Iterator[str]:
    for row in settables(part):
        limits = getattr(table, row.attribute, None)
        if isinstance(limits, LimitsTable) and (lowest := _too_low(row, limits)):
            yield f"remote.{row.attribute}.min is {limits.min:g}; it must be {lowest}"


def _too_low(row: Settable, limits: LimitsTable) -> str:
    """Say how high the lower end must be, where it is too low."""
    if row.limit_min == 0 and not row.is_zero_allowed:
        return "more than 0" if limits.min <= 0 else ""
    return f"{row.limit_min:g} or more" if limits.min < row.limit_min else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTable(PointConfiguration):
    """`[connection.device.point.X]` over the profile's `[point.X]`, without the driver's keys."""

    quantity: str | None = None
    kind: PointKind | None = None
    # The device's own unit; also of `range`.
    unit: str | None = None
    range: tuple[float, float] | None = None
    publish: bool = _default(PointSettings, "publish", bool)
    remote: PointRemoteTable | None = None

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if self.range is not None and not self.range[0] < self.range[1]:
            yield "range must be two numbers, the lower first"
        if self.gain == 0:
            yield "gain is 0: every value would be the same"
        if self.deadband < 0:
            yield f"deadband is {self.deadband:g}; it must be 0 (report everything) or more"
        yield from _interval_mistakes(self, "max_silence_s")
        yield from _remote_mistakes(self.remote, Part.POINT)


# Keys of a point that a profile may not have: they belong to one device at one site.
# `offset` is one of these only where the driver has none.
SITE_POINT_KEYS = (*(row.attribute for row in settables(Part.POINT) if row.attribute != "offset"), "remote")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTable(DeviceConfiguration):
    """`[[connection.device]]` without its points and the driver's keys."""

    id: str
    name: str = _default(DeviceSettings, "name", str)
    location: str = _default(DeviceSettings, "location", str)
    serial_number: str = _default(DeviceSettings, "serial_number", str)
    labels: Mapping[str, str] = field(default_factory=dict)
    profile: str | None = None
    # None = as its connection says. A configuration always has one.
    poll_interval_s: float | None = None  # type: ignore[assignment]
    max_silence_s: float | None = None
    remote: DeviceRemoteTable | None = None
    # The profile's; the device gives no new value sooner.
    poll_interval_min_s: float = _default(DeviceSettings, "poll_interval_min_s", float)
    # The profile's: how long after its power came its values mean nothing yet.
    warm_up_s: float = _default(DeviceSettings, "warm_up_s", float)

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        yield from self._label_mistakes()
        yield from _interval_mistakes(self, "poll_interval_s")
        yield from _interval_mistakes(self, "max_silence_s", longest_s=SILENCE_S_MAX)
        if not 0 <= self.poll_interval_min_s <= INTERVAL_S_MAX:
            yield f"poll_interval_min_s is {self.poll_interval_min_s:g}; it must be from 0 to {INTERVAL_S_MAX:.0f} seconds"
        if not 0 <= self.warm_up_s <= INTERVAL_S_MAX:
            yield f"warm_up_s is {self.warm_up_s:g}; it must be from 0 to {INTERVAL_S_MAX:.0f} seconds"
        yield from _remote_mistakes(self.remote, Part.DEVICE)
        limits = getattr(self.remote, "poll_interval_s", None)
        within_s = self.poll_interval_min_s
        if isinstance(limits, LimitsTable) and INTERVAL_S_MIN <= limits.min < within_s:
            yield f"remote.poll_interval_s.min is {limits.min:g}; the device gives no new value within {within_s:g} s"

    def _label_mistakes(self) -> Iterator[str]:
        if len(self.labels) > LABELS_MAX:
            yield f"labels has {len(self.labels)} entries; {LABELS_MAX} are allowed"
        for name, text in self.labels.items():
            if not is_identifier(name):
                yield f"labels has the name {name!r}; write it with small letters, digits, - and _"
            if len(text) > LABEL_LENGTH_MAX:
                yield f"labels.{name} has {len(text)} characters; {LABEL_LENGTH_MAX} are allowed"
        if len(self.serial_number) > LABEL_LENGTH_MAX:
            yield f"serial_number has {len(self.serial_number)} characters; {LABEL_LENGTH_MAX} are allowed"


# What a group has beside the keys of a device.
GROUP_KEYS = ("names", "adopt", "devices_max", "except")
# Many devices of one kind; no greenhouse has more streams than this.
GROUP_DEVICES_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable:
    """`[[connection.device_group]]` without what each of its devices has. `except` is called `exclude` here."""

    names: tuple[str, ...] = _default(DeviceGroup, "names", tuple)
    adopt: bool = _default(DeviceGroup, "adopt", bool)
    devices_max: int = _default(DeviceGroup, "devices_max", int)
    exclude: tuple[str, ...] = _default(DeviceGroup, "exclude", tuple)

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if not 0 <= self.devices_max <= GROUP_DEVICES_MAX:
            yield f"devices_max is {self.devices_max}; it must be from 1 to {GROUP_DEVICES_MAX}"
        elif self.adopt and not self.devices_max:
            yield "adopt is true; say with devices_max how many devices the group may have"
        elif self.devices_max and not self.adopt:
            yield f"devices_max is {self.devices_max}; it limits what adopt = true takes on, and adopt is false"
        elif self.adopt and len(self.names) > self.devices_max:
            yield f"names has {len(self.names)} devices; devices_max, which counts them, is {self.devices_max}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTable:
    """`[[connection]]` without its devices and the driver's keys."""

    id: str
    driver: str
    # Of its devices, unless they say otherwise.
    poll_interval_s: float = POLL_INTERVAL_S

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(_interval_mistakes(self, "poll_interval_s"))


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
