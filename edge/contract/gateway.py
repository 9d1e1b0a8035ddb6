"""What happens to the gateway, its devices and its outbox."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from edge.contract.model import ControlFact, DeviceFact, Digest, Identifier, Integer, Model, Timestamp
from edge.domain.alarm import AlarmKind


class GatewayStarted(ControlFact):
    """A run began. Its id and the machine's boot are in the metadata."""

    version: str = Field(description="Of greenhouse-edge.")
    python: str
    sqlite: str
    system: str = Field(examples=["Linux 6.12.0 aarch64"])
    previous_run: UUID | None = Field(default=None, description="The run before; not there in a fresh database.")


class GatewayStopped(ControlFact):
    """A run ended in order. A run without it was killed or lost its power."""

    reason: str = Field(description="An open list: requested, failed.", examples=["requested"])


class LoadedDevice(Model):
    """One device as the site file names it."""

    device_id: Identifier
    connection_id: Identifier
    driver: str


class SiteFileLoaded(ControlFact):
    """The gateway runs with this site file from here on."""

    file: str
    digest: Digest
    devices: tuple[LoadedDevice, ...]


class DeviceRetired(DeviceFact):
    """A device is none of this gateway's any more. Its stream ends.

    Its open alarms were cleared just before, but for one about its stream: that may still have events to take. That it
    is lost ends here, too: no DeviceConnectionRestored follows.
    """

    reason: str = Field(description="An open list: removed.", examples=["removed"])


class DeviceConnectionLost(DeviceFact):
    """A device does not answer any more; written once, not per missed poll, and not again after a restart.

    Ends with DeviceConnectionRestored or DeviceRetired, however often the gateway restarts meanwhile, and whether or not
    the device is disabled or put on another connection in between.
    """

    reason: str = Field(
        description="An open list: unreachable, malformed_response, connection_lost, misconfigured, silence.",
        examples=["unreachable"],
    )
    since: Timestamp = Field(description="When the first of the failures, or the silence, began.")
    attempts: Integer = Field(description="Polls in a row without an answer.")
    detail: str = Field(description="For a person.")


class DeviceConnectionRestored(DeviceFact):
    """A lost device answered again."""

    since: Timestamp = Field(description="As the DeviceConnectionLost that ends here says it.")
    lost_for_s: float | None = Field(
        default=None,
        ge=0,
        description="Seconds from the first failure to the answer. Not there if no clock tells: the box was booted in"
        " between, and its wall time could not be believed before or after.",
    )


class Alarm(ControlFact):
    """Which alarm it is: its identity is `alarm` with whichever of the other four it carries."""

    device_id: Identifier | None = Field(default=None, description="Identity: the device, if it is about one.")
    connection_id: Identifier | None = Field(default=None, description="Identity: the connection, if it is about one.")
    point_id: Identifier | None = Field(default=None, description="Identity: the device's point, if it is about one.")
    stream: str | None = Field(default=None, description="Identity: the stream, if it is about one.")
    alarm: str = Field(
        description=f"Identity: the kind. An open list: {', '.join(AlarmKind)}.",
        examples=["configuration_not_usable"],
    )


class AlarmRaised(Alarm):
    """Someone must act. Open until an AlarmCleared of the same identity, however often the gateway restarts meanwhile.

    Identity: `alarm` with whichever of `deviceId`, `connectionId`, `pointId`, `stream` it carries. An alarm that is open
    is not raised again.
    """

    message: str = Field(description="One sentence for a person.")


class AlarmCleared(Alarm):
    """The cause of an open alarm is gone. It carries the identity of its AlarmRaised."""


class EventQuarantined(ControlFact):
    """An event cannot be forwarded; it was set aside and its stream goes on without it."""

    device_id: Identifier | None = Field(default=None, description="Telemetry only: its device.")
    stream: str
    event_id: UUID
    type: str
    position: Integer
    run: UUID
    sequence: Integer | None = Field(default=None, description="Telemetry only: declares the gap in the numbers.")
    reason: Literal["too_large", "refused", "misplaced"] = Field(
        description="The event store does not take it, or it was written into the stream of another kind or device."
    )
    detail: str = Field(description="The event store's words, or where it belongs.")


class OutboxRestored(ControlFact):
    """The stream holds events of this gateway that its outbox does not know: the database was restored or replaced.

    What a lost part of the database had opened (an alarm, a lost device) may be opened again, or closed never.
    """

    stream: str
    revision: Integer = Field(description="The stream's last revision, after which the gateway goes on.")
    event_id: UUID = Field(description="The event that told.")
    run: UUID = Field(description="That event's run.")
    position: Integer = Field(description="That event's position.")
    reason: Literal["unknown_run", "lost_tail"]


class OutboxCloneDetected(ControlFact):
    """Somebody else writes as this gateway while it runs. Forwarding waits for `outbox adopt`; measuring goes on."""

    stream: str
    revision: Integer
    event_id: UUID
    run: UUID
    position: Integer


class EventStoreRestored(ControlFact):
    """A stream lost events that it had taken: the event store was restored or replaced."""

    stream: str
    expected_revision: Integer = Field(description="What the stream had come to.")
    found_revision: int = Field(ge=-1, description="What it holds now; -1 = the stream is gone.")
    sent_again: Integer
    lost: Integer = Field(description="Events that the outbox does not retain any more.")
