"""What an update can set: one table, which validation, description, comparison, editing and the contract go by.

A new key is a row of `SETTABLES`, a field of `DeviceConfiguration` or `PointConfiguration`, and the code that acts by
it. The site file's keys, the limits below `remote`, the command line and the published schemas follow from the table.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Optional, TypeAlias, TypeVar

# What a device is asked at unless the site file says otherwise.
POLL_INTERVAL_S = 10.0

# A point with a deadband is reported at least this often (DESIGN section 4.3).
HEARTBEAT_S = 600.0

# Faster than any bus.
INTERVAL_S_MIN = 0.01

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfiguration:
    """How a device is run."""

    enabled: bool = True
    poll_interval_s: float = POLL_INTERVAL_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PointConfiguration:
    """How a point's values are corrected and reported, in the canonical unit."""

    offset: float = 0.0
    gain: float = 1.0
    # 0 = report every reading.
    deadband: float = 0.0
    max_silence_s: float = HEARTBEAT_S


class Part(StrEnum):
    """What a value belongs to."""

    DEVICE = "device"
    POINT = "point"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be set remotely: both ends included."""

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        if not self.minimum <= self.maximum:
            raise ValueError("min must not be above max")

    def allow(self, value: float) -> bool:
        """Whether a value lies within."""
        return self.minimum <= value <= self.maximum


# What the site file allows: a number within limits, a switch with True.
Permission: TypeAlias = Limits | Literal[True]
# By attribute. What is not in it may not be set.
Remote: TypeAlias = Mapping[str, Permission]
# By attribute: arguments of a configuration's constructor, of which the type checker cannot know that the table fits.
Values: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settable:
    """One value of a device, or of each of its points."""

    # In updates, answers and descriptions.
    key: str
    part: Part
    # Of the configuration, the settings and the site file.
    attribute: str
    value_type: type[bool] | type[float] = float
    # For the published contract.
    description: str | None = None
    # What no site file can loosen: the lowest value, and that 0 means nothing.
    floor: float = -math.inf
    is_zero_allowed: bool = True
    # The attribute of the device's settings that holds a floor of that device.
    floor_attribute: str | None = None
    # The lowest `min` that a site file may give.
    limit_min: float = -math.inf
    # Whether it says nothing of a device that speaks when it likes.
    is_of_polling: bool = False

    def lowest(self, limits: Limits, device: object) -> float:
        """Return the lowest value that a device can have: the site file's limit, or a floor above it."""
        own = -math.inf if self.floor_attribute is None else float(getattr(device, self.floor_attribute))
        return max(limits.minimum, self.floor, own)

    def value_in(self, owner: DeviceConfiguration | PointConfiguration) -> float | bool:
        """Return the value in a configuration, or in settings."""
        value: float | bool = getattr(owner, self.attribute)
        return value


SETTABLES = (
    Settable(key="enabled", part=Part.DEVICE, attribute="enabled", value_type=bool),
    Settable(
        key="pollIntervalS",
        part=Part.DEVICE,
        attribute="poll_interval_s",
        is_zero_allowed=False,
        floor_attribute="poll_interval_min_s",
        limit_min=INTERVAL_S_MIN,
        is_of_polling=True,
    ),
    Settable(
        key="offset",
        part=Part.POINT,
        attribute="offset",
        description="In the canonical unit. Replaces the site file's.",
    ),
    # A gain of 0 would make every value the same: an invented one.
    Settable(key="gain", part=Part.POINT, attribute="gain", is_zero_allowed=False, limit_min=0.0),
    Settable(key="deadband", part=Part.POINT, attribute="deadband", floor=0.0, limit_min=0.0),
    Settable(
        key="maxSilenceS",
        part=Part.POINT,
        attribute="max_silence_s",
        floor=0.0,
        is_zero_allowed=False,
        limit_min=INTERVAL_S_MIN,
    ),
)

# Keys of an update that have no meaning yet: with a value in them, it is rejected as `not_supported`.
RESERVED = {Part.DEVICE: ("setpoints", "recipe"), Part.POINT: ("alarm",)}

OF_DEVICE, OF_POINT = (tuple(row for row in SETTABLES if row.part is part) for part in Part)


def settables(part: Part) -> tuple[Settable, ...]:
    """Return the rows of a device, or of a point, in their order."""
    return OF_DEVICE if part is Part.DEVICE else OF_POINT


def values_of(part: Part, owner: DeviceConfiguration | PointConfiguration) -> Values:
    """Return all values: what makes another configuration, or settings, with the same values."""
    return {row.attribute: row.value_in(owner) for row in settables(part)}


def permitted(part: Part, remote: Remote) -> Iterator[tuple[Settable, Permission]]:
    """Yield what may be set. A name that is no attribute of the table is a mistake of ours."""
    rows = {row.attribute: row for row in settables(part)}
    assert rows.keys() >= remote.keys(), f"{sorted(remote)} are not all settable"
    return ((row, remote[name]) for name, row in rows.items() if name in remote)


def with_settables(
    part: Part, *, number: object, switch: object, off: bool | None
) -> Callable[[type[Data]], type[Data]]:
    """Make a frozen dataclass that has a field for each row of the table.

    A number is of this type or None, which is its default; a switch is of this type, and `off` by default. The type
    checker does not know the fields: they are filled and read by `Settable.attribute` alone.
    """

    def decorate(empty: type[Data]) -> type[Data]:
        for row in settables(part):
            kind, default = (switch, off) if row.value_type is bool else (Optional[number], None)  # noqa: UP045 - at run time
            empty.__annotations__[row.attribute] = kind
            setattr(empty, row.attribute, default)
        return dataclass(frozen=True, slots=True, kw_only=True)(empty)

    return decorate
