"""What stands in and beside every event of the gateway, and what its control events say of their own."""

from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

from edge.domain.clock import ClockState
from edge.domain.event import EventType
from edge.domain.json_form import Count, Identifier, JsonName, Time, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What every event of the gateway starts with."""

    site_id: Annotated[Identifier, "The greenhouse."]
    gateway_id: Annotated[Identifier, "The daemon at it; the site's id unless two boxes share a site."]
    clock: ClockState
    uptime_ms: Annotated[
        Whole | None,
        "Milliseconds from the box's boot to the moment when this was recorded; there when the clock is unsynchronized.",
    ] = None

    def __post_init__(self) -> None:
        if self.clock is ClockState.UNSYNCHRONIZED and self.uptime_ms is None:
            raise ValueError("an unsynchronized clock comes with uptimeMs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening(Source):
    """What every control event starts with; its fact follows."""

    occurred_at: Annotated[Time, "The box's wall time."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What stands beside every event the gateway writes."""

    schema_version: Annotated[Count, "Version of this type's data."]
    run: Annotated[
        UUID, "One start of the daemon; sequences count within it. Its GatewayStarted and SiteFileLoaded tell the rest."
    ]
    config_version: Annotated[
        Whole | None,
        "Events about one device: version of the update in force; 0 = the site file alone. The settings are those of the"
        " device's last DeviceDescribed with this version and a smaller position. On an answer, the update's own; not there"
        " on DeviceRetired, nor where the event is about a stream.",
    ] = None
    causation_id: Annotated[
        UUID | None, JsonName("$causationId"), "The DeviceConfigurationUpdated in force, or the one answered."
    ] = None
    correlation_id: Annotated[str | None, JsonName("$correlationId"), "Answers only: copied from the update."] = None
    retry_of: Annotated[UUID | None, "The quarantined event that this one repeats."] = None
    # Last, for the outbox's writer adds it: see `Author.metadata`.
    position: Annotated[Whole, "Place in the gateway's outbox."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What one control event says."""

    type: ClassVar[EventType]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFact(Fact):
    """What a control event says of one device."""

    device_id: Annotated[Identifier, "The device."]
