"""A site whose configuration loop runs against the fake event store, with real SQLite on virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from edge.configure.adopt import restore_adopted
from edge.configure.configurator import Configurator
from edge.configure.effective import load_effective
from edge.domain.author import Author
from edge.domain.configuration import ApplicationFailed, EffectiveConfiguration, Mistake
from edge.domain.event import EventType, NewEvent
from edge.domain.quantity import IDENTITY
from edge.domain.settable import Limits
from edge.domain.settings import (
    ConnectionSettings,
    DeviceSettings,
    EventStoreSettings,
    OutboxSettings,
    PointSettings,
    ProfileIdentity,
    Range,
    Settings,
    SiteSettings,
    StreamTemplates,
    ValueType,
)
from edge.storage.connection import Connect
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox
from fakes.alarm_check import alarm_violations
from fakes.event_store import FakeEventStore
from fakes.inline_sqlite import connect_inline
from fakes.outbox_drafts import all_entries, virtual_outbox
from fakes.virtual_time import VirtualClock

STREAM = "deviceConfiguration-north-1"
STATUS_STREAM = "deviceConfigurationStatus-north-1"
ANSWERS = (EventType.DEVICE_CONFIGURATION_APPLIED, EventType.DEVICE_CONFIGURATION_REJECTED)
DIGEST = "sha256:" + "0" * 64


def make_device(device_id: str = "bench", **changes: Any) -> DeviceSettings:
    fields: dict[str, Any] = {
        "id": device_id,
        "name": "Bench 3",
        "location": "north",
        "profile": ProfileIdentity(id="xy-md02", version=1, digest=DIGEST),
        "points": (
            PointSettings(
                id="air_temperature",
                quantity="air_temperature",
                type=ValueType.NUMBER,
                unit="Cel",
                conversion=IDENTITY,
                options=None,
                range=Range(low=-40, high=80),
                offset=-0.2,
                remote={
                    "offset": Limits(minimum=-2, maximum=2),
                    "gain": Limits(minimum=-1, maximum=2),
                    "deadband": Limits(minimum=-1, maximum=1),
                    "max_silence_s": Limits(minimum=0, maximum=3600),
                },
            ),
            PointSettings(
                id="relative_humidity",
                quantity="relative_humidity",
                type=ValueType.NUMBER,
                unit="%",
                conversion=IDENTITY,
                options=None,
            ),
        ),
        "poll_interval_s": 10.0,
        "max_silence_s": 60.0,
        "options": None,
        "remote": {"enabled": True, "poll_interval_s": Limits(minimum=2, maximum=3600)},
    }
    return DeviceSettings(**{**fields, **changes})


def make_settings(*devices: DeviceSettings) -> Settings:
    chosen = devices or (make_device("bench"), make_device("roof"))
    return Settings(
        file=Path("site.toml"),
        digest=DIGEST,
        site=SiteSettings(id="north-1"),
        gateway_id="north-1",
        event_store=EventStoreSettings(uri="esdb://nowhere"),
        outbox=OutboxSettings(),
        streams=StreamTemplates(),
        connections=(ConnectionSettings(id="line", driver="simulated", options=None, devices=chosen),),
    )


class FakeFleet:
    """The devices, and every configuration that was ever put into force."""

    def __init__(self, settings: Settings, configurations: Mapping[str, EffectiveConfiguration]) -> None:
        self._connections = {
            device.id: connection.id for connection in settings.connections for device in connection.devices
        }
        self._devices = {device.id: device for device in settings.devices()}
        self.in_force = dict(configurations)
        self.configured: list[EffectiveConfiguration] = []
        # How long a device takes to be brought to a configuration, in seconds; those that refuse.
        self.delay_s: Callable[[str], float] = lambda _device_id: 0.0
        self.refusing: dict[str, Mistake] = {}
        self.applied: list[EffectiveConfiguration] = []
        self.applying: set[str] = set()

    async def apply(self, configuration: EffectiveConfiguration) -> None:
        device_id = configuration.device_id
        assert device_id not in self.applying, "one at a time"
        self.applying.add(device_id)
        try:
            if delay_s := self.delay_s(device_id):
                await asyncio.sleep(delay_s)
        finally:
            self.applying.remove(device_id)
        if device_id in self.refusing:
            raise ApplicationFailed(self.refusing[device_id])
        self.applied.append(configuration)

    def configure(self, configuration: EffectiveConfiguration) -> None:
        self.configured.append(configuration)
        self.in_force[configuration.device_id] = configuration

    def configuration(self, device_id: str) -> EffectiveConfiguration:
        return self.in_force[device_id]

    def all_devices(self) -> Sequence[DeviceSettings]:
        return list(self._devices.values())

    def device(self, device_id: str) -> DeviceSettings | None:
        return self._devices.get(device_id)

    def connection_id(self, device_id: str) -> str:
        return self._connections[device_id]

    def exchange(self, device_id: str, device: DeviceSettings | None) -> None:
        """Give up a device, or have another one in its place."""
        del self._devices[device_id]
        if device is not None:
            self._devices[device_id] = device

    def join(self, device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str) -> None:
        self._devices[device.id] = device
        self._connections[device.id] = connection_id
        self.in_force[device.id] = configuration


def update(
    version: int, configuration: Mapping[str, Any] | None = None, *, device_id: str = "bench", **fields: Any
) -> dict[str, Any]:
    return {"deviceId": device_id, "configVersion": version, "configuration": configuration or {}, **fields}


def update_event(
    data: Mapping[str, Any] | bytes,
    *,
    metadata: Mapping[str, Any] | bytes = b"",
    event_id: UUID | None = None,
    event_type: str = EventType.DEVICE_CONFIGURATION_UPDATED,
) -> NewEvent:
    def encoded(value: Mapping[str, Any] | bytes) -> bytes:
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    return NewEvent(event_id=event_id or uuid4(), type=event_type, data=encoded(data), metadata=encoded(metadata))


class Gateway:
    """The configuration loop of one start of the daemon."""

    def __init__(self, outbox: Outbox, fleet: FakeFleet, author: Author, configurator: Configurator) -> None:
        self.outbox = outbox
        self.fleet = fleet
        self.author = author
        self.configurator = configurator

    async def settle(self, duration_s: float = 200.0) -> None:
        """Let the loop run for a while of virtual time; longer than any back-off in a short test."""
        async with asyncio.timeout(duration_s + 1):
            task = asyncio.create_task(self.configurator.run())
            try:
                await asyncio.wait([task], timeout=duration_s)
                assert not task.done(), task.exception()
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def written(self, *types: EventType) -> list[dict[str, Any]]:
        """Return the data of all events of these types in the outbox."""
        return [json.loads(entry.data) for entry in await self._entries(types)]

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Return type and data of all events in the outbox, in order."""
        return [(entry.type, json.loads(entry.data)) for entry in await all_entries(self.outbox)]

    async def answers(self) -> list[tuple[str, int | None, str]]:
        """Return device, version and outcome of every answer."""
        return [
            (data["deviceId"], data["configVersion"], ",".join(e["code"] for e in data.get("errors", [])) or "applied")
            for data in await self.written(*ANSWERS)
        ]

    async def _entries(self, types: tuple[EventType, ...]) -> list[Entry]:
        return [entry for entry in await all_entries(self.outbox) if entry.type in types]


class World:
    """A gateway's database and its event store, over several starts."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        self.directory = directory
        self.settings = settings or make_settings()
        self.store = FakeEventStore()
        # What the forwarder was told of the event store.
        self.heard: list[str] = []
        # Of the gateway's wall clock.
        self.clock_error_ms = 0

    def publish(self, *events: NewEvent, stream: str = STREAM) -> list[UUID]:
        """Append as a producer does."""
        self.store.append_now(stream, events, len(self.store.events(stream)) - 1)
        return [event.event_id for event in events]

    def ask(
        self, version: int, configuration: Mapping[str, Any] | None = None, *, device_id: str = "bench", **fields: Any
    ) -> UUID:
        """Publish one update."""
        return self.publish(update_event(update(version, configuration, device_id=device_id, **fields)))[0]

    @asynccontextmanager
    async def started(self, *, connect: Connect = connect_inline) -> AsyncIterator[Gateway]:
        """Start the daemon, as far as the configuration loop is concerned."""
        run = uuid4()
        async with virtual_outbox(self.directory, run=run, connect=connect) as outbox:
            author = Author(
                site_id="north-1",
                gateway_id="north-1",
                run=run,
                boot_id=uuid4(),
                streams=self.settings.streams,
                clock=VirtualClock(error_ms=self.clock_error_ms),
                new_id=uuid4,
            )
            settings = await restore_adopted(outbox, self.settings)
            effective, _ = await load_effective(outbox.database, settings.devices())
            fleet = FakeFleet(settings, effective)
            configurator = Configurator(
                event_store=self.store,
                outbox=outbox,
                fleet=fleet,
                author=author,
                is_reason_required=settings.site.require_reason,
                chance=lambda: 0.5,
                on_reached=lambda: self.heard.append("reached"),
                on_lost=lambda: self.heard.append("lost"),
            )
            gateway = Gateway(outbox, fleet, author, configurator)
            yield gateway
            assert alarm_violations(await gateway.told()) == []

    async def forward(self, outbox: Outbox) -> None:
        """Send the answers as the forwarder does.

        It knows its own entries by run and position: the same entry is never sent twice, but an answer that was made
        twice would be.
        """
        known = {(event.event_id, event.metadata) for event in self.store.events(STATUS_STREAM)}
        for entry in await all_entries(outbox):
            is_answer = outbox.streams.name(entry.stream) == STATUS_STREAM
            if is_answer and (entry.event_id, entry.metadata) not in known:
                event = NewEvent(event_id=entry.event_id, type=entry.type, data=entry.data, metadata=entry.metadata)
                self.publish(event, stream=STATUS_STREAM)
