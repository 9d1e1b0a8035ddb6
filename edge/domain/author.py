"""The author of the gateway's events: gives each its id, stream, common fields and metadata (DESIGN section 6)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from edge.domain.alarm import AlarmIdentity, AlarmKind, OpenAlarm
from edge.domain.clock import Clock, ClockState, Moment, rfc3339
from edge.domain.configuration import EffectiveConfiguration
from edge.domain.envelope import Fact, Metadata, Opening
from edge.domain.event import SCHEMA_VERSION, Draft, EventType, Json, Numbers
from edge.domain.facts import AlarmCleared, AlarmRaised
from edge.domain.json_form import json_of
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
    # Answers only.
    correlation_id: str | None = None

    @classmethod
    def to(cls, configuration: EffectiveConfiguration) -> "Reference":
        """Refer to the configuration in force."""
        return cls(config_version=configuration.version, causation_id=configuration.update_event_id)


@dataclass(frozen=True, kw_only=True)
class Author:
    """The gateway in this run. Everything that does not change from event to event."""

    site_id: str
    gateway_id: str
    run: UUID
    boot_id: UUID
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
        fact: Fact,
        *,
        reference: Reference | None = None,
        event_id: UUID | None = None,
    ) -> Draft:
        """Draft the control event that says a fact."""
        template = self.streams.configuration_status if fact.type in STATUS_TYPES else self.streams.gateway
        data = encode_json({**json_of(self._opening()), **json_of(fact)})
        metadata = self.metadata(reference)
        return Draft(
            stream=self.stream(template),
            event_id=event_id or self.new_id(),
            type=fact.type,
            encode=partial(_encode_control, data.encode(), metadata),
        )

    def stream_alarm(self, kind: AlarmKind, stream: str) -> AlarmIdentity:
        """Return the identity of an alarm about a stream. It names the device whose readings the stream holds, too."""
        return AlarmIdentity(alarm=kind, stream=stream, device_id=self.device_of(stream))

    def alarm_raised(
        self, identity: AlarmIdentity, message: str, *, body: str = "", reference: Reference | None = None
    ) -> Draft:
        """Draft the event that raises an alarm. The outbox writes it only if the alarm is not open.

        `message` is one sentence for a person; `body` is remembered with the alarm.
        """
        fact = AlarmRaised(
            alarm=identity.alarm,
            device_id=identity.device_id,
            connection_id=identity.connection_id,
            point_id=identity.point_id,
            stream=identity.stream,
            message=message,
        )
        alarm = OpenAlarm(identity=identity, message=message, raised_at_ms=self.clock.unix_ms(), body=body)
        return self.control(fact, reference=reference)._replace(opens=alarm)

    def alarm_cleared(self, identity: AlarmIdentity, *, reference: Reference | None = None) -> Draft:
        """Draft the event that clears an alarm. The outbox writes it only if the alarm is open."""
        fact = AlarmCleared(
            alarm=identity.alarm,
            device_id=identity.device_id,
            connection_id=identity.connection_id,
            point_id=identity.point_id,
            stream=identity.stream,
        )
        return self.control(fact, reference=reference)._replace(closes=identity)

    def moment(self, *, age_s: float = 0.0) -> Moment:
        """Return the moment that was so many seconds ago, within this boot."""
        age_ms = round(age_s * 1000)
        return Moment(
            unix_ms=self.clock.unix_ms() - age_ms,
            uptime_ms=self.clock.uptime_ms() - age_ms,
            boot_id=self.boot_id,
            clock=self.clock.state(),
        )

    def _opening(self) -> Opening:
        """Return what a control event of this moment starts with: the uptime only where wall time cannot be trusted."""
        state = self.clock.state()
        return Opening(
            site_id=self.site_id,
            gateway_id=self.gateway_id,
            clock=state,
            uptime_ms=None if state is ClockState.SYNCHRONIZED else self.clock.uptime_ms(),
            occurred_at=rfc3339(self.clock.unix_ms()),
        )

    def metadata(self, reference: Reference | None = None) -> str:
        """Return an event's metadata as JSON text up to the position: `{…,"position":`. The outbox's writer ends it."""
        metadata = Metadata(
            schema_version=SCHEMA_VERSION,
            run=self.run,
            config_version=None if reference is None else reference.config_version,
            causation_id=None if reference is None else reference.causation_id,
            correlation_id=None if reference is None else reference.correlation_id,
            position=0,
        )
        return encode_json(json_of(metadata)).removesuffix("0}")


def _encode_control(data: bytes, metadata: str, numbers: Numbers) -> tuple[bytes, bytes]:
    return data, f"{metadata}{numbers.position}}}".encode()
