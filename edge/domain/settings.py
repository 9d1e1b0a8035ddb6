"""The site file as the daemon sees it: complete, valid, frozen. `edge/settings` fills these; defaults live here.

`mistakes` says what types cannot; a sentence that starts with a key is reported at that key.
"""

import string
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from edge.domain.event_store_uri import needs_credential, uri_mistakes
from edge.domain.quantity import Conversion, PointKind
from edge.domain.settable import DeviceConfiguration, PointConfiguration, Remote


class ValueType(StrEnum):
    """The type of a point's value in events, fixed per point."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values a point can plausibly have, in the canonical unit, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSettings(PointConfiguration):
    """One point of a device, profile and site file merged. Values are in the canonical unit."""

    id: str
    quantity: str | None
    type: ValueType
    unit: str | None
    # From the profile's unit to the canonical one; the driver applies it after scale and offset of the raw value.
    conversion: Conversion
    # The driver's point options (a dataclass that the driver declares).
    options: object
    range: Range | None = None
    kind: PointKind = PointKind.GAUGE
    # All texts that it can have; empty where they are not known.
    texts: tuple[str, ...] = ()
    publish: bool = True
    remote: Remote = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileIdentity:
    """Which profile describes a device, down to the byte."""

    id: str
    version: int
    # "sha256:" and 64 hexadecimal digits, over the profile's file.
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings(DeviceConfiguration):
    """One device behind a connection."""

    id: str
    points: tuple[PointSettings, ...]
    # Silence after which the device counts as lost to its readers.
    max_silence_s: float
    # The driver's device options.
    options: object
    name: str = ""
    location: str = ""
    serial_number: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    profile: ProfileIdentity | None = None
    # Else it speaks when it likes, and the poll interval means nothing.
    is_polled: bool = True
    # The device gives no new value sooner (profile, `poll_interval_min_s`).
    poll_interval_min_s: float = 0.0
    # How long after its power came its values mean nothing yet (profile, `warm_up_s`).
    warm_up_s: float = 0.0
    remote: Remote = field(default_factory=dict)

    def point(self, point_id: str) -> PointSettings | None:
        """Return the point with this id, or None."""
        return next((point for point in self.points if point.id == point_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGroup:
    """One `[[connection.device_group]]`: what all its devices are, and whose names are taken."""

    # Its id is the template (`zigbee-{name}`), its options hold the pattern; profile and points are the members'.
    template: DeviceSettings
    # Listed in the site file, or adopted in an earlier run. Each is among the connection's devices from the start.
    names: tuple[str, ...] = ()
    # Whether an unknown name becomes a device when it is seen, and how many members, listed ones included, the group
    # may then have.
    adopt: bool = False
    devices_max: int = 0
    # Topic filters of what looks like a device and is none.
    exclude: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The group's id template; names the group."""
        return self.template.id


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """A shared wire, host or broker."""

    id: str
    driver: str
    # The driver's connection options.
    options: object
    # The members of groups whose names are known included.
    devices: tuple[DeviceSettings, ...]
    groups: tuple[DeviceGroup, ...] = ()

    @property
    def is_used(self) -> bool:
        """Whether there is anything to collect on it: before the first scan there may not be."""
        return bool(self.devices or self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """The greenhouse."""

    id: str
    name: str = ""
    time_zone: str = "UTC"
    # Whether an update must tell who wants it, and what for.
    require_reason: bool = False

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            # A small machine may have no time zone database, and then not even UTC is found: nothing can be said.
            if zoneinfo.available_timezones():
                return [f"time_zone is {self.time_zone!r}; write it like 'Europe/Amsterdam'"]
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStoreSettings:
    """Where events go and configurations come from."""

    uri: str
    credential: str | None = None
    ca_file: Path | None = None
    # The server gives up after 2 s; a thin link needs the rest.
    append_timeout_s: float = 10.0
    read_timeout_s: float = 10.0

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        wrong = list(uri_mistakes(self.uri))
        yield from wrong
        if not wrong and self.credential is None and needs_credential(self.uri):
            yield 'credential is missing: with TLS the server asks for user and password; write credential = "event-store"'
        for name in ("append_timeout_s", "read_timeout_s"):
            if not 1 <= getattr(self, name) <= 120:
                yield f"{name} is {getattr(self, name)}; it must be from 1 to 120"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """The durable local log."""

    # Wear or latency: each commit is one fsync.
    commit_interval_ms: int = 500
    max_size_mb: int = 512
    # Recovery of a restored or replaced store reaches this far back.
    keep_forwarded_h: float = 24.0

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if not 10 <= self.commit_interval_ms <= 60_000:
            yield f"commit_interval_ms is {self.commit_interval_ms}; it must be from 10 to 60000"
        if not 16 <= self.max_size_mb <= 1_000_000:
            yield f"max_size_mb is {self.max_size_mb}; it must be from 16 to 1000000"
        if not 0 <= self.keep_forwarded_h <= 10_000:
            yield f"keep_forwarded_h is {self.keep_forwarded_h}; it must be from 0 to 10000"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTemplates:
    """Names of the streams; `{site}`, `{gateway}` and `{device}` are replaced.

    The category is what stands before the first dash and holds none itself (EventStoreDB's `$by_category`).
    """

    sensor_readings: str = "sensorReadings-{gateway}.{device}"
    gateway: str = "gateway-{gateway}"
    configuration_status: str = "deviceConfigurationStatus-{gateway}"
    configuration: str = "deviceConfiguration-{gateway}"
    recipes: str = "nutrientRecipes"

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        for item in fields(self):
            template: str = getattr(self, item.name)
            allowed = {"site", "gateway", "device"} if item.name == "sensor_readings" else {"site", "gateway"}
            try:
                parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
            except ValueError as error:
                yield f"{item.name} is no template: {error}"
                continue
            # A conversion (!r) or format (:>9) would be obeyed by str.format, but means nothing here.
            if any(part[1] not in allowed or part[2] or part[3] for part in parts):
                yield f"{item.name} may hold {', '.join(f'{{{name}}}' for name in sorted(allowed))} and no other braces"
            elif not template or template.startswith("$"):
                yield f"{item.name} must not be empty and not start with $ (those are the event store's own)"
            elif "{" in template.partition("-")[0]:
                yield f"{item.name} must start with a category that is the same for all sites, then a dash"
        templates = [getattr(self, item.name) for item in fields(self)]
        if len(set(templates)) < len(templates):
            yield "two kinds of events must not share a stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One site file, read and found valid."""

    file: Path
    # "sha256:" and 64 hexadecimal digits, over the site file's bytes.
    digest: str
    site: SiteSettings
    gateway_id: str
    event_store: EventStoreSettings
    outbox: OutboxSettings
    streams: StreamTemplates
    connections: tuple[ConnectionSettings, ...]

    def devices(self) -> tuple[DeviceSettings, ...]:
        """All devices of all connections, in the site file's order."""
        return tuple(device for connection in self.connections for device in connection.devices)
