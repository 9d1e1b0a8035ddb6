"""What the gateway writes: one class per event. Names, order and words of the published contract come from here.

The docstring of a class and the texts beside its fields are published as they stand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from edge.domain.alarm import AlarmKind
from edge.domain.configuration import Change, Mistake, Stage
from edge.domain.envelope import DeviceFact, Fact, Source
from edge.domain.event import EventType
from edge.domain.json_form import NOT_EMPTY, AtLeast, Count, Digest, Identifier, JsonName, OpenList, Time, Whole
from edge.domain.reading import Origin, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """A device's last sample in an earlier run: joins the runs."""

    run: UUID
    sequence: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorReadingReceived(Source):
    """One sample of one device: one time, one or more points. A point that is missing was not reported, never bad."""

    device_id: Identifier
    measured_at: Annotated[
        Time,
        "When it was measured: the time that the payload gives where timeSource says so, else the gateway's wall time"
        " when it had the answer or the message.",
    ]
    time_source: Annotated[
        Literal["device"] | None,
        "There where measuredAt is the payload's own time: it follows another clock than the gateway's, and clock and"
        " uptimeMs say nothing of it.",
    ] = None
    origin: Annotated[
        Origin,
        "Measured now, back-filled by the device, retained by a broker, or redelivered: sent again by a broker that had"
        " no acknowledgement, and recorded though the event repeatOf may tell of the same message.",
    ]
    repeat_of: Annotated[
        UUID | None,
        "The event that this one may repeat; there exactly when the origin is redelivered. Count both, and a message"
        " may be counted twice; leave this one out, and a message may be missing.",
    ] = None
    sequence: Annotated[Count, "Counts the device's samples within the run."]
    previous: Annotated[Previous | None, "On the first sample of a run, if there was an earlier one."] = None
    readings: Annotated[Mapping[str, Reading], NOT_EMPTY]

    def __post_init__(self) -> None:
        Source.__post_init__(self)
        if (self.origin is Origin.REDELIVERED) != (self.repeat_of is not None):
            raise ValueError("repeatOf is there exactly when the origin is redelivered")
        if not self.readings:
            raise ValueError("a sample has at least one reading")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStarted(Fact):
    """A run began. Its id is in the metadata, of this event and of all that follow in the run."""

    type: ClassVar = EventType.GATEWAY_STARTED
    producer: Annotated[str, "Name and version of the program: greenhouse-edge/0.1.0."]
    boot_id: Annotated[UUID, "One start of the machine."]
    python: str
    sqlite: str
    system: Annotated[str, "The machine's: Linux 6.12.0 aarch64."]
    previous_run: Annotated[UUID | None, "The run before; not there in a fresh database."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStopped(Fact):
    """A run ended in order. A run without it was killed or lost its power."""

    type: ClassVar = EventType.GATEWAY_STOPPED
    reason: Annotated[str, OpenList("requested", "failed")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDevice:
    """One device as the site file names it."""

    device_id: Identifier
    connection_id: Identifier
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSite:
    """The greenhouse as the site file names it."""

    name: str
    time_zone: Annotated[str, "Of the time zone database. Events are in UTC; a day at the site is one of this zone."]
    require_reason: Annotated[
        bool, "Whether an update without changedBy and reason is rejected, as the site file demands."
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFileLoaded(Fact):
    """The gateway runs with this site file from here on."""

    type: ClassVar = EventType.SITE_FILE_LOADED
    site: LoadedSite
    file: str
    digest: Digest
    devices: Annotated[
        tuple[LoadedDevice, ...], "Not those that a device group adopts when they are seen: DeviceDescribed tells them."
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRetired(DeviceFact):
    """A device is none of this gateway's any more. Its stream ends.

    Its open alarms were cleared just before, but for one about its stream: that may still have events to take. That it
    is lost ends here, too: no DeviceConnectionRestored follows.
    """

    type: ClassVar = EventType.DEVICE_RETIRED
    reason: Annotated[str, OpenList("removed")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConnectionLost(DeviceFact):
    """A device does not answer any more; written once, not per missed poll, and not again after a restart.

    Ends with DeviceConnectionRestored or DeviceRetired, however often the gateway restarts meanwhile, and whether or
    not the device is disabled or put on another connection in between.
    """

    type: ClassVar = EventType.DEVICE_CONNECTION_LOST
    reason: Annotated[str, OpenList("unreachable", "malformed_response", "connection_lost", "misconfigured", "silence")]
    since: Annotated[Time, "When the first of the failures, or the silence, began."]
    attempts: Annotated[Whole, "Polls in a row without an answer."]
    detail: Annotated[str, "For a person."]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConnectionRestored(DeviceFact):
    """A lost device answered again."""

    type: ClassVar = EventType.DEVICE_CONNECTION_RESTORED
    since: Annotated[Time, "As the DeviceConnectionLost that ends here says it."]
    lost_for_s: Annotated[
        float | None,
        AtLeast(0),
        "Seconds from the first failure to the answer. Not there if no clock tells: the box was booted in between, and"
        " its wall time could not be believed before or after.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFact(Fact):
    """Which alarm it is: its identity is `alarm` with whichever of the other four it carries."""

    device_id: Annotated[Identifier | None, "Identity: the device, if it is about one."] = None
    alarm: Annotated[str, "Identity: the kind.", OpenList(*AlarmKind)]
    connection_id: Annotated[Identifier | None, "Identity: the connection, if it is about one."] = None
    point_id: Annotated[Identifier | None, "Identity: the device's point, if it is about one."] = None
    stream: Annotated[str | None, "Identity: the stream, if it is about one."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(AlarmFact):
    """Someone must act. Open until an AlarmCleared of the same identity, however often the gateway restarts meanwhile.

    Identity: `alarm` with whichever of `deviceId`, `connectionId`, `pointId`, `stream` it carries. An alarm that is
    open is not raised again.
    """

    type: ClassVar = EventType.ALARM_RAISED
    message: Annotated[str, "One sentence for a person."]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCleared(AlarmFact):
    """The cause of an open alarm is gone. It carries the identity of its AlarmRaised."""

    type: ClassVar = EventType.ALARM_CLEARED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsDropped(DeviceFact):
    """Samples that will never come, counted exactly."""

    type: ClassVar = EventType.READINGS_DROPPED
    reason: Annotated[
        str,
        "Not accepted: the outbox could not take them.",
        OpenList("not_accepted", "outbox_full", "block_damaged"),
    ]
    run: UUID
    sequences: Annotated[
        tuple[Whole, Whole] | None,
        "First and last of the dropped numbers; null for samples that never had one (not_accepted).",
    ]
    count: Count
    first_measured_at: Time | None
    last_measured_at: Time | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuarantined(Fact):
    """An event cannot be forwarded; it was set aside and its stream goes on without it."""

    type: ClassVar = EventType.EVENT_QUARANTINED
    device_id: Annotated[Identifier | None, "Telemetry only: its device."] = None
    stream: str
    event_id: UUID
    event_type: Annotated[str, JsonName("type")]
    position: Whole
    run: Annotated[UUID | None, "Null where the event does not tell it."]
    sequence: Annotated[Whole | None, "Telemetry only: declares the gap in the numbers."] = None
    reason: Annotated[
        Literal["too_large", "refused", "misplaced"],
        "The event store does not take it, or it was written into the stream of another kind or device.",
        OpenList("too_large", "refused", "misplaced"),
    ]
    detail: Annotated[str, "The event store's words, or where it belongs."]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrangeEvent(Fact):
    """An event of this gateway id that the outbox does not know, found in one of its streams."""

    stream: str
    revision: Annotated[Whole, "The stream's last revision when it was found."]
    event_id: Annotated[UUID, "The event that told."]
    run: Annotated[UUID, "That event's run."]
    position: Annotated[Whole, "That event's position."]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRestored(StrangeEvent):
    """The stream holds events of this gateway that its outbox does not know: the database was restored or replaced.

    The gateway goes on after the stream's last revision. What a lost part of the database had opened (an alarm, a lost
    device) may be opened again, or closed never.
    """

    type: ClassVar = EventType.OUTBOX_RESTORED
    reason: Annotated[Literal["unknown_run", "lost_tail"], OpenList("unknown_run", "lost_tail")]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxCloneDetected(StrangeEvent):
    """Another process writes as this gateway while it runs. Forwarding stops until the next start; measuring goes on."""

    type: ClassVar = EventType.OUTBOX_CLONE_DETECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStoreRestored(Fact):
    """A stream lost events that it had taken: the event store was restored or replaced."""

    type: ClassVar = EventType.EVENT_STORE_RESTORED
    stream: str
    expected_revision: Annotated[Whole, "What the stream had come to."]
    found_revision: Annotated[int, AtLeast(-1), "What it holds now; -1 = the stream is gone."]
    sent_again: Whole
    lost: Annotated[Whole, "Events that the outbox does not retain any more."]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfigurationApplied(DeviceFact):
    """An update is in force."""

    type: ClassVar = EventType.DEVICE_CONFIGURATION_APPLIED
    update_event_id: UUID
    update_revision: Whole
    config_version: Count
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfigurationRejected(Fact):
    """An update is not in force, and why. Everything is told that is wrong with it at the stage where it failed."""

    type: ClassVar = EventType.DEVICE_CONFIGURATION_REJECTED
    update_event_id: UUID
    update_revision: Whole
    device_id: Annotated[str | None, "Null where it could not be read."]
    config_version: Annotated[Whole | None, "Null where it could not be read."]
    stage: Stage
    errors: Annotated[tuple[Mistake, ...], NOT_EMPTY]

    def __post_init__(self) -> None:
        if self.stage is not Stage.READING and (self.device_id is None or self.config_version is None):
            raise ValueError("an update that could be read has its ids")
        if not self.errors:
            raise ValueError("what is rejected has an error")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfigurationRestored(DeviceFact):
    """The gateway's database was lost or is an older copy; an update applied before is in force again.

    The update keeps the answer that it has; DeviceDescribed tells what of it the site file still allows.
    """

    type: ClassVar = EventType.DEVICE_CONFIGURATION_RESTORED
    update_event_id: UUID
    update_revision: Whole
    config_version: Annotated[Count, "In force again, as its DeviceConfigurationApplied told."]
    from_version: Annotated[Whole, "In force until then, without cause; 0 = the site file alone."]
    reason: Annotated[str, OpenList("database_restored")]


Answer = DeviceConfigurationApplied | DeviceConfigurationRejected
