"""What a driver is. Public API: third parties implement these protocols and register an entry point.

A driver moves bytes for one connection (a wire, host or broker) and knows the devices behind it. The collector owns it:
one task calls it, never two at a time, and never cancels a poll half-way but at a stop, of the gateway or of the
connection. A driver has no schedule, no back-off and no retries of its own: `open` once, `poll` or `receive`, and one
of four errors when something is wrong (a fifth, when a value is written that cannot be). Anything else that it raises,
SystemExit included, is a bug; the collector logs it with its traceback and backs off. (Only a task of its own must not
raise SystemExit or KeyboardInterrupt: asyncio ends the program for these.) Every field of what it gives is checked, see
`Sample.check`: another type than the declared one is a bug of the same kind.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge.domain.by_hand import Given
from edge.domain.commissioning import Endpoint, FirstDay, RegisterRange, Search, Simulation, Stretch, Wishes
from edge.domain.field_types import FieldTypes, check_text
from edge.domain.reading import Reading, Sample, Value
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings

# The registry refuses a driver that was written for another version.
DRIVER_API = 1

ENTRY_POINT_GROUP = "greenhouse_edge.drivers"


class DriverError(Exception):
    """Something is wrong with a device or its wire. The subclass names the remedy.

    `device_id` is for `receive`, where the collector cannot know the device. Notes added to the exception
    (`add_note`), the frame for instance, come into the log with it.
    """

    def __init__(self, message: str = "", *, device_id: str | None = None) -> None:
        super().__init__(message)
        self.device_id = device_id


class DeviceUnreachable(DriverError):  # noqa: N818 - the vocabulary's word
    """The device did not answer. Remedy: ask again later; other devices of the connection are not affected."""


class MalformedResponse(DriverError):  # noqa: N818
    """The device answered something that is no answer. Remedy: ask again; if it stays, look at the frame."""


class ConnectionLost(DriverError):  # noqa: N818
    """The transport itself is gone or cannot be opened. Remedy: open it again, with back-off."""


class DriverMisconfigured(DriverError):  # noqa: N818
    """The site file or profile asks for what cannot be. Remedy: a person corrects it."""


class ValueRefused(DriverError):  # noqa: N818
    """A device or its driver refuses the value that was to be written. Remedy: write another; the device is well."""


class DecodingBroke(Exception):  # noqa: N818
    """A bug showed in what one device sent: `receive` raises it from the unexpected exception.

    It is told with its traceback, the message is given up, and the other devices go on at once.
    """

    def __init__(self, device_id: str) -> None:
        super().__init__(f"what {device_id} sent met a bug")
        self.device_id = device_id


@runtime_checkable
class PolledDriver(Protocol):
    """A connection whose devices answer when asked."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Open the transport for the length of the context.

        Raises ConnectionLost when it cannot be opened. Entered again after each loss, on the same object. When the
        gateway or the connection stops, a driver has two seconds to end its call and close; what it waits for then is
        cancelled. A connection that is started again may have another driver object: it must find the transport free.
        """

    async def poll(self, device_id: str) -> Sample:
        """Ask one device for all its points.

        Readings of points that could not be read are bad with `comm_error`, if at least one other could.
        Raises DeviceUnreachable, MalformedResponse, ConnectionLost or DriverMisconfigured. Bounded in time by the
        connection's own response time-out. Cancellation must leave the transport usable or closed.
        """


@runtime_checkable
class WritingDriver(Protocol):
    """A PolledDriver, besides, whose devices can be told a value."""

    async def write(self, device_id: str, point_id: str, value: Value) -> None:
        """Have a device take a value for one of its points; returns once the device has said that it did.

        `value` is in the point's canonical unit, as readings are, and not corrected by `gain` and `offset`: the driver
        does the inverse of what it does to a raw value. Which values are allowed here is for others to say; the driver
        refuses what the device cannot take or the point cannot hold. A later poll must read back what was written.

        Raises ValueRefused (nothing was changed), DriverMisconfigured (nothing was sent), DeviceUnreachable or
        MalformedResponse (whether the device took it is not known), or ConnectionLost. No retries: the caller reads the
        point and writes again. A value is a state, so writing it twice does no harm.

        Called between polls by the task that polls, so never two calls at a time. Bounded in time as `poll` is. Once
        begun it is finished, even when its caller does not wait any more. Only a stop, of the gateway or of the
        connection, cancels it, and then the device has the value or not, and the transport must be usable or closed.
        """


@runtime_checkable
class PushedDriver(Protocol):
    """A connection whose devices speak when they like."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Open the transport for the length of the context, as that of a PolledDriver. Raises ConnectionLost."""

    async def receive(self) -> Sequence[Sample]:
        """Wait for what comes next: samples in order of arrival (none, where only new names of groups came).

        Raises ConnectionLost, or DeviceUnreachable (a device that announced its leaving) and MalformedResponse for one
        device or message, after which `receive` goes on. While the outbox is full it is not called: the driver
        bounds what arrives meanwhile.
        """

    def accepted(self, samples: Sequence[Sample]) -> None:
        """Learn that these samples are on disk, in order of arrival. Now they may be acknowledged to the sender.

        Called in the event loop, also for samples of a transport that was closed since. Must not block.
        """


Driver = PolledDriver | PushedDriver


@runtime_checkable
class WindowedDriver(Protocol):
    """A PushedDriver, besides, whose sender falls silent when too much is unacknowledged.

    Half the window unacknowledged makes the outbox commit at once: throughput is then the disk's, not that of a window
    per commit interval.
    """

    @property
    def window(self) -> int:
        """How many messages may be unacknowledged before the sender waits; asked after each opening."""


@runtime_checkable
class RecallingDriver(Protocol):
    """A PushedDriver, besides, whose sender says of a message that it was sent before."""

    def recall(self, deliveries: Sequence[bytes]) -> None:
        """Learn, before the first `open`, by which deliveries samples came that are on disk; the oldest first.

        Those of other connections are among them.
        """


# A topic has at most so many bytes (MQTT 5.0, 1.5.4).
SEEN_TEXT_LENGTH_MAX = 65_535

_SEEN_TYPES = FieldTypes(group_id=(str,), name=(str,), topic=(str,), last_seen_ms=(int,), reason=(str,))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenName:
    """A name that a device group's pattern captured and that is no device of ours, for a person to look at."""

    group_id: str
    name: str
    topic: str
    # Milliseconds since 1970.
    last_seen_ms: int
    # Why it is no device: not in `names`, `devices_max` reached, its id taken or impossible.
    reason: str

    def check(self) -> None:
        """Raise TypeError or ValueError, naming the field, if a field is not what it must be."""
        _SEEN_TYPES.check(self)
        for name in ("group_id", "name", "topic", "reason"):
            check_text(name, getattr(self, name), length_max=SEEN_TEXT_LENGTH_MAX)


@runtime_checkable
class GroupDriver(Protocol):
    """A driver, besides, whose connection may have device groups."""

    def seen(self) -> Sequence[SeenName]:
        """List the names seen that are no devices; bounded."""

    def appeared(self) -> Sequence[tuple[DeviceGroup, str]]:
        """Return the groups and names that are to be adopted since the last call.

        The collector makes them devices (or not) and calls `adopt` before the next `receive`.
        """

    def adopt(self, device: DeviceSettings) -> None:
        """Take a device on; its samples may come from the next `receive` on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestReading:
    """The newest reading of a point of any device of the site, corrected and judged, and its age in seconds."""

    reading: Reading
    age_s: float


def _no_credential(name: str) -> str:
    raise DriverMisconfigured(f"the credential {name!r} cannot be looked up here")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverContext:
    """What a driver may know of the gateway around it. The defaults suit a test or a tool without a gateway."""

    gateway_id: str = "gateway"
    # An IANA name, for times that a payload writes without a zone.
    time_zone: str = "UTC"
    # Relative paths in options are meant from here: the site file's folder.
    folder: Path = field(default_factory=Path)
    # Look up "user:password" by its name. Raises DriverMisconfigured if it is not there.
    credential: Callable[[str], str] = _no_credential
    # (device id, point id) -> its newest reading; None if there was none yet.
    latest: Callable[[str, str], LatestReading | None] = lambda _device_id, _point_id: None


def _nothing(_connection: ConnectionSettings) -> Iterable[tuple[str, str]]:
    return ()


def _itself(connection: ConnectionSettings) -> ConnectionSettings:
    return connection


@dataclass(frozen=True, kw_only=True)
class DriverKind:
    """A driver as the registry knows it: the value of `driver = "…"` in a site file.

    The option classes are frozen dataclasses with defaults. Settings validates the site file's and the profile's tables
    against them with pydantic, refuses unknown keys, and hands the instances back in the `options` of
    ConnectionSettings, DeviceSettings and PointSettings. An option class may have a method
    `mistakes() -> Sequence[str]` for what types cannot say. Options of a point that is no number have a property
    `value_type`; those of a text may have `texts`, all that it can be. A connection option called `credential` is the
    name of one: `run` looks it up before it starts. `serial_port` is a port: no two connections may have the same.
    """

    name: str
    title: str
    connection_options: type
    device_options: type
    point_options: type
    create: Callable[[ConnectionSettings, DriverContext], Driver]
    # What is wrong with a whole connection, and what is allowed and yet fails in the field (`check` warns):
    # pairs of a device id ("" = the connection) and a sentence.
    # A device group is named by its id template. A sentence that starts with a key is reported at that key.
    mistakes: Callable[[ConnectionSettings], Iterable[tuple[str, str]]] = _nothing
    cautions: Callable[[ConnectionSettings], Iterable[tuple[str, str]]] = _nothing
    # For devices that speak when they like: the silence after which one counts as lost, where neither site file nor
    # profile says. None: the devices are polled, and a few missed polls are the silence.
    max_silence_s: float | None = None
    # Values of device options that profiles leave to the site file, for a profile that is shown or tried without one.
    stand_ins: Mapping[str, object] = field(default_factory=dict)
    # Changes a connection so that `read` takes nothing from the daemon: by another client id at a broker, for instance.
    visiting: Callable[[ConnectionSettings], ConnectionSettings] = _itself
    # The hooks of the first day; see edge/domain/commissioning.py. None: the verb says that there is nothing to do.
    # `scan`: plans a search for the devices of a connection. Raises WishImpossible.
    scan: Callable[[ConnectionSettings, Wishes], Search] | None = None
    # `probe`: reads registers of a unit, in as few requests as it allows. Raises WishImpossible, ConnectionLost, or
    # DeviceUnreachable if the unit does not answer.
    probe: Callable[[ConnectionSettings, RegisterRange], AsyncGenerator[Stretch, None]] | None = None
    # `decode`: what the bytes in a person's hand say of a device. Raises Undecodable.
    decode: Callable[[DeviceSettings, Given], Sequence[Sample]] | None = None
    # `init`: how a connection is named, drafted and looked at.
    first_day: FirstDay | None = None
    # `simulate`: serves all connections of the driver for the length of the context, and gives the endpoint of each by
    # its id. Raises OSError or a DriverError where an endpoint cannot be opened.
    simulate: (
        Callable[[Sequence[ConnectionSettings], Simulation], AbstractAsyncContextManager[Mapping[str, Endpoint]]] | None
    ) = None
    api: int = DRIVER_API
