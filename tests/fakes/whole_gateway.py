"""A whole gateway with scripted drivers, on real time; nobody answers where its event store should be."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.event import EventType
from edge.domain.settings import (
    ConnectionSettings,
    EventStoreSettings,
    OutboxSettings,
    Settings,
    SiteSettings,
    StreamTemplates,
)
from edge.gateway.components import Gateway
from edge.gateway.compose import open_gateway
from edge.settings.credentials import CredentialMissing
from fakes.collect_site import connection, device, group
from fakes.outbox_drafts import all_entries
from fakes.scripted_driver import ScriptedGroupDriver


@dataclass(frozen=True)
class Nothing:
    """No options."""


@dataclass
class Drivers:
    """The drivers of one test, by connection, and what they were told of the gateway."""

    contexts: dict[str, DriverContext] = field(default_factory=dict)
    made: dict[str, ScriptedGroupDriver] = field(default_factory=dict)
    connections: dict[str, ConnectionSettings] = field(default_factory=dict)

    def create(self, settings: ConnectionSettings, context: DriverContext) -> Driver:
        self.contexts[settings.id] = context
        self.connections[settings.id] = settings
        driver = self.made[settings.id] = ScriptedGroupDriver()
        return driver

    def kind(self, name: str) -> DriverKind:
        return DriverKind(
            name=name,
            title="Scripted",
            connection_options=Nothing,
            device_options=Nothing,
            point_options=Nothing,
            create=self.create,
        )


def site(folder: Path) -> Settings:
    return Settings(
        file=folder / "site.toml",
        digest="sha256:" + "0" * 64,
        site=SiteSettings(id="north-1", time_zone="Europe/Amsterdam"),
        gateway_id="north-1",
        event_store=EventStoreSettings(uri="esdb://127.0.0.1:1?tls=false"),
        outbox=OutboxSettings(commit_interval_ms=10),
        streams=StreamTemplates(),
        connections=(connection(device("roof"), connection_id="broker", groups=(group(),)),),
    )


def find_credential(name: str) -> str:
    if name != "broker":
        raise CredentialMissing(f"credential {name!r} was not found")
    return "user:secret"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    stop = asyncio.Event()
    async with open_gateway(
        settings, state_directory=settings.file.parent / "state", find_credential=find_credential
    ) as gateway:
        task = asyncio.create_task(gateway.run(stop))
        try:
            yield gateway
        finally:
            stop.set()
            await task


async def until(
    gateway: Gateway, event_type: EventType, device_id: str | None = None, *, connection_id: str | None = None
) -> dict[str, Any]:
    """Wait for an event of this run; its data."""
    async with asyncio.timeout(30):
        while True:
            for entry in await all_entries(gateway.outbox):
                data: dict[str, Any] = json.loads(entry.data)
                is_ours = json.loads(entry.metadata)["run"] == str(gateway.author.run)
                is_about = device_id in {None, data.get("deviceId")} and connection_id in {
                    None,
                    data.get("connectionId"),
                }
                if is_ours and entry.type == event_type and is_about:
                    return data
            await asyncio.sleep(0.01)
