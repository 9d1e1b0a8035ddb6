"""Events: their types, as they are drafted here, and as the event store records them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

from edge.domain.alarm import AlarmIdentity, OpenAlarm

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None

SCHEMA_VERSION = 1


class EventType(StrEnum):
    """Past-tense facts; public API (consumers filter on the exact string)."""

    SENSOR_READING_RECEIVED = "SensorReadingReceived"
    GATEWAY_STARTED = "GatewayStarted"
    GATEWAY_STOPPED = "GatewayStopped"
    SITE_FILE_LOADED = "SiteFileLoaded"
    DEVICE_DESCRIBED = "DeviceDescribed"
    DEVICE_RETIRED = "DeviceRetired"
    DEVICE_CONNECTION_LOST = "DeviceConnectionLost"
    DEVICE_CONNECTION_RESTORED = "DeviceConnectionRestored"
    ALARM_RAISED = "AlarmRaised"
    ALARM_CLEARED = "AlarmCleared"
    READINGS_DROPPED = "ReadingsDropped"
    EVENT_QUARANTINED = "EventQuarantined"
    OUTBOX_RESTORED = "OutboxRestored"
    OUTBOX_CLONE_DETECTED = "OutboxCloneDetected"
    EVENT_STORE_RESTORED = "EventStoreRestored"
    DEVICE_CONFIGURATION_APPLIED = "DeviceConfigurationApplied"
    DEVICE_CONFIGURATION_REJECTED = "DeviceConfigurationRejected"
    DEVICE_CONFIGURATION_RESTORED = "DeviceConfigurationRestored"
    DEVICE_CONFIGURATION_UPDATED = "DeviceConfigurationUpdated"


class NewEvent(NamedTuple):
    """An event on its way to the event store.

    A named tuple, not a dataclass: it is made for each event that is sent, and costs a quarter.
    """

    event_id: UUID
    type: str
    data: bytes
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event as the event store returns it."""

    event_id: UUID
    type: str
    data: bytes
    metadata: bytes
    stream: str
    revision: int


class Numbers(NamedTuple):
    """What the outbox's writer gives an event when it forms the block."""

    position: int
    # Telemetry only: counts the device's accepted samples within the run, from 1.
    sequence: int | None = None
    # The device's last sample in an earlier run (its run and sequence); only with sequence 1, only if there was one.
    previous: tuple[UUID, int] | None = None


class Draft(NamedTuple):
    """An event that still lacks its position and sequence: what goes into the writer's queue.

    `encode` gives data and metadata. It is called by the writer, possibly more than once, and must be quick and pure.
    A named tuple, not a dataclass: one is made for each sample, and making a frozen dataclass of ten fields costs five
    times as much.
    """

    stream: str
    event_id: UUID
    type: EventType
    encode: Callable[[Numbers], tuple[bytes, bytes]]
    # Telemetry has the device whose sequence it counts in; control events have None.
    device_id: str | None = None
    source_key: bytes = b""
    delivery: bytes = b""
    # Called in the event loop after the commit, in the order of acceptance. Must not block or raise.
    on_accepted: Callable[[], None] | None = None
    # What its commit also remembers (an alarm raised, a device lost) or forgets: event and memory are never apart. The
    # outbox writes no event that opens what is open already, or closes what is not open.
    opens: OpenAlarm | None = None
    closes: AlarmIdentity | None = None

    @property
    def is_telemetry(self) -> bool:
        """Whether the event goes into a block; all others are rows of their own."""
        return self.type is EventType.SENSOR_READING_RECEIVED
