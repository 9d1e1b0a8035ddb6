"""Alarms: their kinds, what tells one from another, and what is remembered of one that stands."""

from dataclasses import dataclass
from enum import StrEnum


class AlarmKind(StrEnum):
    """Public API (consumers compare the exact string), an open list. The comment says what clears each kind."""

    # The next usable sample of the device (or of any device, if the alarm is about a connection); or the device is
    # disabled, or the connection is no longer used.
    DRIVER_FAULT = "driver_fault"
    # The call of the driver returns, with whatever outcome; in a later run, the first call about the same device (or
    # the connection itself) that does; or the device is disabled, or is not behind that connection any more.
    DRIVER_STALLED = "driver_stalled"
    # An update that is valid, a site file that allows again what is configured, or a missing update that is found.
    CONFIGURATION_NOT_USABLE = "configuration_not_usable"
    # The stream is no longer parked.
    STREAM_PARKED = "stream_parked"
    # An hour in which no further foreign event was found in the stream.
    FOREIGN_EVENT = "foreign_event"
    # A later run forwards again.
    OUTBOX_CLONED = "outbox_cloned"
    # The event store takes an event of the stream, or lets it be read.
    STREAM_REFUSED = "stream_refused"
    # The event store takes an event of any stream.
    EVENT_STORE_REFUSES = "event_store_refuses"
    # A start that does not find the damage any more.
    OUTBOX_DAMAGED = "outbox_damaged"


# A lost device is remembered as an alarm is, under this name, but told by DeviceConnectionLost and -Restored.
DEVICE_LOST = "device_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmIdentity:
    """What tells one alarm from another. Two events with the same values in all of these speak of the same alarm."""

    alarm: str
    device_id: str | None = None
    connection_id: str | None = None
    point_id: str | None = None
    stream: str | None = None


def lost_device(device_id: str) -> AlarmIdentity:
    """Return the identity under which a lost device is remembered."""
    return AlarmIdentity(alarm=DEVICE_LOST, device_id=device_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlarm:
    """An alarm that stands, or a device that is lost."""

    identity: AlarmIdentity
    # One sentence for a person.
    message: str
    raised_at_ms: int
    # What the room that raised it wants to know again when it looks at it later, in the form that room chose.
    body: str = ""
