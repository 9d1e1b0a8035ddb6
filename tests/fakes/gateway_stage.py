"""The connections of a gateway on virtual time: real outbox, real forwarder, a store that obeys, scripted drivers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

import edge.gateway.connections
from edge.collect.fleet import Fleet
from edge.collect.status import DeviceStatus
from edge.configure.adopt import Registrar, restore_adopted
from edge.configure.announce import Announcer
from edge.configure.effective import load_effective
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.event import EventType, RecordedEvent
from edge.domain.settings import (
    ConnectionSettings,
    EventStoreSettings,
    OutboxSettings,
    Settings,
    SiteSettings,
    StreamTemplates,
)
from edge.forward.forwarder import Forwarder
from edge.gateway.connections import Connections
from edge.storage.outbox import Outbox
from edge.storage.writer import Intake
from fakes.collect_site import author
from fakes.event_store import FakeEventStore
from fakes.inline_sqlite import InlineConnect
from fakes.outbox_drafts import virtual_outbox
from fakes.virtual_time import VirtualClock, run_virtual


@dataclass(frozen=True)
class NoOptions:
    """No options."""


@dataclass(kw_only=True)
class Drivers:
    """Gives each connection the driver that a test keeps for it; or raises what it keeps instead."""

    kept: dict[str, Driver | Exception]

    def kind(self, name: str) -> DriverKind:
        return DriverKind(
            name=name,
            title="Scripted",
            connection_options=NoOptions,
            device_options=NoOptions,
            point_options=NoOptions,
            create=self._create,
        )

    def _create(self, connection: ConnectionSettings, _: DriverContext) -> Driver:
        kept = self.kept[connection.id]
        if isinstance(kept, Exception):
            raise kept
        return kept


@dataclass(kw_only=True)
class Stage:
    """What a test sees of a run."""

    connections: Connections
    drivers: Drivers
    fleet: Fleet
    outbox: Outbox
    announcer: Announcer
    store: FakeEventStore
    disk: InlineConnect
    forward: Callable[[], Coroutine[None, None, None]]

    def device(self, device_id: str) -> DeviceStatus:
        (found,) = [device for device in self.fleet.status().devices if device.device_id == device_id]
        return found

    def samples(self, device_id: str) -> list[dict[str, Any]]:
        """What of a device stands in the store."""
        return [_data(event) for event in self.store.events(f"sensorReadings-north-1.{device_id}")]

    def sequences(self, device_id: str) -> list[int]:
        """The numbers of its samples, in the store's order."""
        return [sample["sequence"] for sample in self.samples(device_id)]

    def told(self, *types: EventType) -> list[tuple[str, dict[str, Any]]]:
        """What the gateway said of itself, as far as it stands in the store."""
        events = self.store.events("gateway-north-1")
        return [(event.type, _data(event)) for event in events if not types or event.type in types]

    async def forwarded(self) -> None:
        """Return when all that was accepted stands in the store."""
        await self.outbox.flush()
        while self.outbox.statistics().pending_by_stream:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.1)


Story = Callable[[Stage], Awaitable[None]]
Line = tuple[ConnectionSettings, Driver]


class Run(Protocol):
    """`play` within one test."""

    def __call__(self, *lines: Line, story: Story, queue: Intake | None = None) -> Stage: ...


def play(
    folder: Path, *lines: Line, story: Story, monkeypatch: pytest.MonkeyPatch, intake: Intake | None = None
) -> Stage:
    """Run the connections while a story is told, then stop them; no task may be left over."""

    async def main() -> Stage:
        drivers = Drivers(kept={settings.id: driver for settings, driver in lines})
        monkeypatch.setattr(edge.gateway.connections, "driver_kind", drivers.kind)
        async with AsyncExitStack() as stack:
            stage = await _set_up(stack, folder, [settings for settings, _ in lines], drivers, intake)
            tasks = [asyncio.ensure_future(story(stage))]
            tasks += [asyncio.create_task(run()) for run in (stage.connections.run, stage.forward, stage.outbox.run)]
            # A component that ends by itself is a failure of its own, whatever the story waits for.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return stage

    return run_virtual(main)


async def _set_up(
    stack: AsyncExitStack,
    folder: Path,
    connections: Sequence[ConnectionSettings],
    drivers: Drivers,
    intake: Intake | None,
) -> Stage:
    writer, disk, store = author(VirtualClock()), InlineConnect(), FakeEventStore()
    outbox = await stack.enter_async_context(virtual_outbox(folder, run=writer.run, connect=disk, intake=intake))
    settings = await restore_adopted(outbox, _site(folder, connections))
    configurations, _ = await load_effective(outbox.database, settings.devices())
    fleet = Fleet(settings.connections, configurations, author=writer, alarms=outbox.alarms)
    announcer = Announcer(outbox=outbox, author=writer, fleet=fleet)
    await announcer.announce()
    made = Connections(
        settings,
        fleet=fleet,
        outbox=outbox,
        author=writer,
        announcer=announcer,
        registrar=Registrar(outbox=outbox, author=writer, fleet=fleet, announcer=announcer),
        context=DriverContext(),
        before_first_poll=nothing_to_wait_for,
    )
    await made.prepare()
    forwarder = Forwarder(event_store=store, outbox=outbox, author=writer, clock=writer.clock, chance=lambda: 0.5)
    return Stage(
        connections=made,
        drivers=drivers,
        fleet=fleet,
        outbox=outbox,
        announcer=announcer,
        store=store,
        disk=disk,
        forward=forwarder.run,
    )


async def nothing_to_wait_for() -> None:
    """Let collecting begin at once."""


def _site(folder: Path, connections: Sequence[ConnectionSettings]) -> Settings:
    return Settings(
        file=folder / "site.toml",
        digest="sha256:" + "0" * 64,
        site=SiteSettings(id="north-1"),
        gateway_id="north-1",
        event_store=EventStoreSettings(uri="esdb://127.0.0.1:1?tls=false"),
        outbox=OutboxSettings(),
        streams=StreamTemplates(),
        connections=tuple(connections),
    )


def _data(event: RecordedEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data)
    return data
