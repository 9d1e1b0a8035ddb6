"""The published stories, told by the gateway itself: whole lives of it on virtual time, against a store that writes down.

Everything is the daemon's own (outbox, collectors, forwarder, configuration loop) but the devices, the clock, and the ids,
which are counted. So a story is the same each time it is told.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import edge.gateway.connections
from edge.domain.author import Author
from edge.domain.driver import DriverKind
from edge.domain.event import EventType, NewEvent
from edge.domain.identifier import uuid7
from edge.domain.settable import Limits
from edge.domain.settings import (
    ConnectionSettings,
    DeviceSettings,
    EventStoreSettings,
    OutboxSettings,
    ProfileIdentity,
    Settings,
    SiteSettings,
    StreamTemplates,
)
from edge.gateway.components import Gateway
from edge.gateway.compose import _put_together
from edge.storage.database import open_database
from edge.storage.outbox import open_outbox
from edge.storage.placement import Placement
from fakes.collect_site import device
from fakes.event_store import FakeEventStore
from fakes.gateway_stage import NoOptions
from fakes.inline_sqlite import InlineConnect
from fakes.scripted_driver import Answering, ScriptedPolledDriver, good
from fakes.virtual_time import VirtualClock, run_virtual

GATEWAY = "north-1"
DIGEST = "sha256:" + "0" * 64
# What differs from machine to machine and from release to release.
MACHINE = {
    "producer": "greenhouse-edge/0.1.0",
    "python": "3.11.7",
    "sqlite": "3.40.1",
    "system": "Linux 6.12.0 aarch64",
}
POLL_S = 10.0
BOOT_ID = UUID("0b5c2f8e-1d7a-4c1e-9f3b-6a2d8e4f7c10")

Line = dict[str, Any]


class WritingDownStore(FakeEventStore):
    """The store, and every event in the order in which it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def _write(self, stream: str, events: Sequence[NewEvent]) -> None:
        super()._write(stream, events)
        for event in self.events(stream)[-len(events) :]:
            data = json.loads(event.data)
            if event.type == EventType.GATEWAY_STARTED:
                data |= MACHINE
            said = {"type": event.type, "data": data, "metadata": json.loads(event.metadata or b"{}")}
            self.lines.append({"stream": stream, "revision": event.revision, "id": str(event.event_id), **said})


def bench(device_id: str, **changes: Any) -> DeviceSettings:
    """A climate sensor whose interval may be set from far."""
    given: dict[str, Any] = {
        "name": f"Climate of {device_id}",
        "location": "north",
        "profile": ProfileIdentity(id="xy-md02", version=1, digest=DIGEST),
        "poll_interval_s": POLL_S,
        "max_silence_s": 60.0,
        "remote": {"enabled": True, "poll_interval_s": Limits(minimum=2, maximum=3600)},
    }
    return device(device_id, **given | changes)


def counting() -> Answering:
    """Answer 20.1, 20.2, and so on: each sample is told from the others by its value."""
    tenths = itertools.count(201)
    return lambda: good(next(tenths) / 10)


class Killed(BaseException):
    """kill -9."""


def _kill(_sql: str) -> None:
    raise Killed


Script = Callable[[Gateway], Awaitable[None]]


async def _nothing(_gateway: Gateway) -> None:
    """Do nothing: the life is the story."""


@dataclass(kw_only=True)
class Telling:
    """The site of one story: its disk, its store, its devices."""

    directory: Path
    store: WritingDownStore = field(default_factory=WritingDownStore)
    driver: ScriptedPolledDriver = field(default_factory=ScriptedPolledDriver)
    devices: tuple[DeviceSettings, ...] = (bench("bench1"),)
    clock: VirtualClock = field(default_factory=VirtualClock)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.driver.answers = {each: counting() for each in ("bench1", "bench2")}

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def new_id(self) -> UUID:
        return uuid7(self.clock.unix_ms(), next(self._ids).to_bytes(10, "big"))

    async def live(self, polls: int, script: Script = _nothing, *, is_killed: bool = False) -> None:
        """Run the daemon for so many polls, and for what a script does after them; then it is stopped, or killed."""
        disk = InlineConnect()
        try:
            async with AsyncExitStack() as stack:
                gateway, stop = await self._open(stack, disk), asyncio.Event()
                task = asyncio.create_task(gateway.run(stop))
                await asyncio.sleep((polls - 0.5) * POLL_S)
                await script(gateway)
                assert not task.done(), task.exception()
                if is_killed:
                    disk.before = _kill
                    task.cancel()
                stop.set()
                await asyncio.wait([task])
                assert is_killed or task.exception() is None, task.exception()
        except* Killed:
            pass

    async def _open(self, stack: AsyncExitStack, disk: InlineConnect) -> Gateway:
        settings, author = self._settings(), self._author()
        # The components draw their back-off from it.
        random.seed(7)
        database = await stack.enter_async_context(open_database(self.state, settings=settings.outbox, connect=disk))
        outbox = await stack.enter_async_context(
            open_outbox(
                database, run=author.run, clock=self.clock, settings=settings.outbox, placement=Placement(author)
            )
        )
        return await _put_together(settings, author, outbox, (self.store, self.store), lambda name: name)

    def _author(self) -> Author:
        return Author(
            site_id=GATEWAY,
            gateway_id=GATEWAY,
            run=self.new_id(),
            boot_id=BOOT_ID,
            streams=StreamTemplates(),
            clock=self.clock,
            new_id=self.new_id,
        )

    def _settings(self) -> Settings:
        line = ConnectionSettings(id="line-a", driver="modbus", options=None, devices=self.devices)
        return Settings(
            file=self.directory / "north-1.toml",
            digest=DIGEST,
            site=SiteSettings(id=GATEWAY, name="North house", time_zone="Europe/Amsterdam"),
            gateway_id=GATEWAY,
            event_store=EventStoreSettings(uri="esdb://nowhere:2113?tls=false"),
            outbox=OutboxSettings(),
            streams=StreamTemplates(),
            connections=(line,),
        )


def told(story: Callable[[Telling], Awaitable[None]], directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """Let the gateway tell a story; return the events in the order in which the store took them."""

    async def main() -> list[Line]:
        telling = Telling(directory=directory)

        def kind(name: str) -> DriverKind:
            return DriverKind(
                name=name,
                title="Scripted",
                connection_options=NoOptions,
                device_options=NoOptions,
                point_options=NoOptions,
                create=lambda _connection, _context: telling.driver,
            )

        monkeypatch.setattr(edge.gateway.connections, "driver_kind", kind)
        await story(telling)
        return telling.store.lines

    return run_virtual(main)
