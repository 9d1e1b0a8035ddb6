"""Who writes the gateway's events: gives each its id, stream, common fields and metadata (DESIGN section 6)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from edge.domain.alarm import AlarmIdentity, AlarmKind, OpenAlarm
from edge.domain.clock import Clock, ClockState, Moment, rfc3339
from edge.domain.event import SCHEMA_VERSION, Draft, EventType, Json, Numbers
from edge.domain.settings import StreamTemplates

STATUS_TYPES = frozenset({EventType.DEVICE_CONFIGURATION_APPLIED, EventType.DEVICE_CONFIGURATION_REJECTED})


def encode_json(value: Json) -> str:
    """Encode compactly. Raises ValueError for NaN and infinities: an event never holds them."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The update in force, or the one spoken of: stands in the metadata of events about one device."""

    config_version: int | None
    causation_id: UUID | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Author:
    """The gateway in this run. Everything that does not change from event to event."""

    site_id: str
    gateway_id: str
    run: UUID
    boot_id: UUID
    producer: str
    site_file_digest: str
    streams: StreamTemplates
    clock: Clock
    new_id: Callable[[], UUID]

    def stream(self, template: str, device_id: str = "") -> str:
        """Fill in a stream's name."""
        return template.format(site=self.site_id, gateway=self.gateway_id, device=device_id)

    def device_of(self, stream: str) -> str | None:
        """Return the device whose readings a stream holds, by its name; None for every other stream."""
        before, is_per_device, after = self.stream(self.streams.sensor_readings, "\0").partition("\0")
        is_of_device = is_per_device and stream.startswith(before) and stream.endswith(after)
        return stream[len(before) : len(stream) - len(after)] or None if is_of_device else None

    def control(
        self,
        event_type: EventType,
        body: Mapping[str, Json],
        *,
        device_id: str | None = None,
        reference: Reference | None = None,
        event_id: UUID | None = None,
        retry_of: UUID | None = None,
    ) -> Draft:
        """Draft a control event. `body` is what follows the common fields; `device_id` comes before it."""
        template = self.streams.configuration_status if event_type in STATUS_TYPES else self.streams.gateway
        data = {
            "siteId": self.site_id,
            "gatewayId": self.gateway_id,
            **self.clock_fields(),
            "occurredAt": rfc3339(self.clock.unix_ms()),
            **({} if device_id is None else {"deviceId": device_id}),
            **body,
        }
        metadata = self.metadata(reference, retry_of=retry_of)
        return Draft(
            stream=self.stream(template),
            event_id=event_id or self.new_id(),
            type=event_type,
            encode=partial(_encode_control, encode_json(data).encode(), metadata),
        )

    def stream_alarm(self, kind: AlarmKind, stream: str) -> AlarmIdentity:
        """Return the identity of an alarm about a stream. It names the device whose readings the stream holds, too."""
        return AlarmIdentity(alarm=kind, stream=stream, device_id=self.device_of(stream))

    def alarm_raised(
        self, identity: AlarmIdentity, message: str, *, body: str = "", reference: Reference | None = None
    ) -> Draft:
        """Draft the event that raises an alarm. The outbox writes it only if the alarm is not open.

        `message` is one sentence for a person; `body` is remembered for whoever raises the alarm.
        """
        fields = {**identity.fields(), "message": message}
        alarm = OpenAlarm(identity=identity, message=message, raised_at_ms=self.clock.unix_ms(), body=body)
        return replace(self.control(EventType.ALARM_RAISED, fields, reference=reference), opens=alarm)

    def alarm_cleared(self, identity: AlarmIdentity, *, reference: Reference | None = None) -> Draft:
        """Draft the event that clears an alarm. The outbox writes it only if the alarm is open."""
        return replace(self.control(EventType.ALARM_CLEARED, identity.fields(), reference=reference), closes=identity)

    def moment(self, *, age_s: float = 0.0) -> Moment:
        """Return the moment that was so many seconds ago, within this boot."""
        age_ms = round(age_s * 1000)
        return Moment(
            unix_ms=self.clock.unix_ms() - age_ms,
            uptime_ms=self.clock.uptime_ms() - age_ms,
            boot_id=self.boot_id,
            clock=self.clock.state(),
        )

    def clock_fields(self) -> dict[str, Json]:
        """Tell the state of the clock, and the uptime where wall time cannot be believed."""
        state = self.clock.state()
        if state is ClockState.SYNCHRONIZED:
            return {"clock": state.value}
        return {"clock": state.value, "uptimeMs": self.clock.uptime_ms()}

    def metadata(self, reference: Reference | None = None, *, retry_of: UUID | None = None) -> str:
        """Return an event's metadata as JSON text that lacks the position: `{…,"position":` and then `tail`."""
        fields: dict[str, Json] = {
            "schemaVersion": SCHEMA_VERSION,
            "producer": self.producer,
            "run": str(self.run),
            "bootId": str(self.boot_id),
            "siteFileDigest": self.site_file_digest,
        }
        if reference is not None:
            if reference.config_version is not None:
                fields["configVersion"] = reference.config_version
            if reference.causation_id is not None:
                fields["$causationId"] = str(reference.causation_id)
            if reference.correlation_id is not None:
                fields["$correlationId"] = reference.correlation_id
        if retry_of is not None:
            fields["retryOf"] = str(retry_of)
        return encode_json(fields)[:-1] + ',"position":'


def _encode_control(data: bytes, metadata: str, numbers: Numbers) -> tuple[bytes, bytes]:
    return data, f"{metadata}{numbers.position}}}".encode()
