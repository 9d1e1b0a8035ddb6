"""How a device is run: the configuration in force, and what became of an update."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID, uuid5

from edge.domain.json_form import JsonName, OpenList
from edge.domain.reading import Value
from edge.domain.settable import DeviceConfiguration, Part, PointConfiguration, settables, values_of
from edge.domain.settings import DeviceSettings

# Version 0 is the site file alone.
SITE_FILE_VERSION = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveConfiguration(DeviceConfiguration):
    """What is in force for one device: the newest applied update over the site file over the profile."""

    device_id: str
    points: Mapping[str, PointConfiguration]
    version: int = SITE_FILE_VERSION
    # The DeviceConfigurationUpdated in force; None at version 0.
    update_event_id: UUID | None = None


def site_file_configuration(device: DeviceSettings) -> EffectiveConfiguration:
    """Return what the site file alone says of a device (version 0)."""
    return EffectiveConfiguration(
        device_id=device.id,
        points={point.id: PointConfiguration(**values_of(Part.POINT, point)) for point in device.points},
        **values_of(Part.DEVICE, device),
    )


def silence_max_s(device: DeviceSettings, configuration: EffectiveConfiguration) -> float:
    """Return how long a device may say nothing before it counts as lost, as it is polled now.

    A device that is told to be slower than its site file says may be silent for as many polls as before.
    """
    slower = configuration.poll_interval_s / device.poll_interval_s if device.is_polled else 1.0
    return device.max_silence_s * max(1.0, slower)


def readers_silence_max_s(device: DeviceSettings, configuration: EffectiveConfiguration) -> float:
    """Return the silence after which readers of its events should miss a device.

    One whose points all have a deadband is not missed before its heartbeat.
    """
    silence_s = silence_max_s(device, configuration)
    points = [configuration.points[point.id] for point in device.points if point.publish]
    if points and all(point.deadband > 0 for point in points):
        heartbeat_s = min(point.max_silence_s for point in points)
        # The heartbeat rides on what comes next: a poll, or whatever the device says within its silence.
        next_s = 2 * configuration.poll_interval_s if device.is_polled else silence_s
        silence_s = max(silence_s, heartbeat_s + next_s)
    return silence_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that is another now; its path is as in the update's configuration."""

    path: str
    before: Annotated[float | bool, JsonName("from")]
    after: Annotated[float | bool, JsonName("to")]


def changes(before: EffectiveConfiguration, after: EffectiveConfiguration) -> tuple[Change, ...]:
    """Compare two configurations of one device, value by value."""
    old, new = dict(_values(before)), dict(_values(after))
    return tuple(
        Change(path=path, before=old[path], after=value)
        for path, value in new.items()
        # A point that the site file got in between has no value from before.
        if path in old and old[path] != value
    )


def _values(configuration: EffectiveConfiguration) -> Iterator[tuple[str, float | bool]]:
    for row in settables(Part.DEVICE):
        yield row.key, row.value_in(configuration)
    for point_id, point in configuration.points.items():
        for row in settables(Part.POINT):
            yield f"points.{point_id}.{row.key}", row.value_in(point)


class Stage(StrEnum):
    """Where an update failed."""

    READING = "reading"
    VALIDATION = "validation"
    APPLICATION = "application"


class Code(StrEnum):
    """What is wrong with an update. Public API, an open list: a later release may know more."""

    # It cannot be read.
    NOT_JSON = "not_json"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_SCHEMA_VERSION = "unknown_schema_version"
    UNKNOWN_DEVICE = "unknown_device"
    OTHER_GATEWAY = "other_gateway"
    # It asks for what cannot be, or at the wrong time.
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_POINT = "unknown_point"
    NOT_SUPPORTED = "not_supported"
    NOT_PERMITTED = "not_permitted"
    BELOW_MINIMUM = "below_minimum"
    ABOVE_MAXIMUM = "above_maximum"
    STALE_VERSION = "stale_version"
    CONFLICT = "conflict"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    # Stands last, in place of the errors that would make the answer too long.
    FURTHER_ERRORS = "further_errors"
    # It failed at the device.
    DEVICE_UNREACHABLE = "device_unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One error of an update."""

    path: Annotated[str, "As in the update's configuration, or the name of a field beside it."]
    code: Annotated[Code, OpenList(*Code)]
    message: str
    limit: float | None = None


class WriteFailed(Exception):  # noqa: N818 - names the situation
    """A value was not written, or it is not known whether it was. Remedy: read the point, then decide anew.

    The message says why, as the rest of a sentence about the device.
    """

    def __init__(self, message: str, *, may_have_arrived: bool) -> None:
        super().__init__(message)
        # False: the device was told nothing.
        self.may_have_arrived = may_have_arrived


def answer_event_id(update_event_id: UUID) -> UUID:
    """Return the answer's id: the same however often it is made, so that it is never in the stream twice."""
    return uuid5(update_event_id, "answer")


class ApplicationFailed(Exception):  # noqa: N818 - the vocabulary's word
    """A device did not take its configuration. It has the former one, as far as can be told."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("; ".join(mistake.message for mistake in mistakes))
        self.mistakes = mistakes


class DeviceFleet(Protocol):
    """The devices as the configuration loop sees them; the collectors implement it."""

    async def apply(self, configuration: EffectiveConfiguration) -> None:
        """Bring what a device itself holds to a configuration, which is not in force yet.

        May take as long as the device does. It is a state, not a command: after a restart it is applied again. Raises
        ApplicationFailed.
        """

    def configure(self, configuration: EffectiveConfiguration) -> None:
        """Put a configuration into force. The next poll uses it; a changed interval keeps the device's phase."""

    def configuration(self, device_id: str) -> EffectiveConfiguration:
        """Return what is in force. Raises KeyError for an unknown device."""

    def all_devices(self) -> Sequence[DeviceSettings]:
        """Return every device there is now: those of the site file, and those that its groups have adopted."""

    def device(self, device_id: str) -> DeviceSettings | None:
        """Return a device; None if there is none with this id."""

    def connection_id(self, device_id: str) -> str:
        """Return the connection that a device is behind. Raises KeyError for an unknown device."""

    def join(self, device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str) -> None:
        """Take on a device that a group has adopted. Its id must be free."""


class PointWriter(Protocol):
    """The way to a device for a value; the collectors implement it."""

    async def write(self, device_id: str, point_id: str, value: Value, *, timeout_s: float) -> None:
        """Have a device take a value for one of its points, in the canonical unit; returns once it has it.

        The write waits for its turn on the device's wire, behind those that came before. A device that is left alone
        after a failure answers at once. Raises WriteFailed, after `timeout_s` at the latest, and KeyError for an
        unknown device. If the caller is cancelled or the time is over, a write that has begun is finished, and no other
        begins.
        """
