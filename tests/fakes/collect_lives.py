"""A site's collectors over several starts of the daemon, on real SQLite and one virtual clock; and kills at any statement.

`disk` may stop taking anything. A killed life does nothing more, in the middle of whatever it was.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.configure.announce import Announcer
from edge.configure.effective import load_effective
from edge.domain.alarm import OpenAlarm
from edge.domain.author import Author
from edge.domain.clock import ClockState
from edge.domain.driver import Driver
from edge.domain.event import EventType
from edge.domain.settings import ConnectionSettings, OutboxSettings, StreamTemplates
from edge.storage.database import open_database
from edge.storage.outbox import Outbox, open_outbox
from fakes.inline_sqlite import InlineConnect
from fakes.outbox_drafts import all_entries, virtual_outbox
from fakes.virtual_time import VirtualClock

Lines = Sequence[tuple[ConnectionSettings, Driver]]


class Killed(BaseException):
    """kill -9."""


class _LifeOver(Exception):  # noqa: N818 - not an error
    """The script has ended."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """One run of the daemon."""

    outbox: Outbox
    fleet: Fleet


Script = Callable[[Life], Awaitable[None]]


def seconds(duration_s: float, check: Callable[[Life], None] = lambda _: None) -> Script:
    """Let time pass, then look."""

    async def script(life: Life) -> None:
        await asyncio.sleep(duration_s)
        check(life)

    return script


@dataclass(kw_only=True)
class Lives:
    """The disk, and the machine."""

    directory: Path
    boot_id: UUID = field(default_factory=lambda: UUID(int=1))
    clock_state: ClockState = ClockState.SYNCHRONIZED
    # Statements until the kill; None = nothing kills.
    fuse: int | None = None
    is_dead: bool = False
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def _at(self, _sql: str) -> None:
        if self.fuse is not None and not self.is_dead:
            self.fuse -= 1
            self.is_dead = self.fuse < 0
        if self.is_dead:
            raise Killed

    async def live(self, lines: Lines, script: Script, *, fuse: int | None = None) -> bool:
        """Run the daemon under a script; whether it ended without being killed."""
        self.fuse, self.is_dead = fuse, False
        try:
            async with AsyncExitStack() as stack:
                await self._run(stack, lines, script)
        except* _LifeOver:
            pass
        except* Killed:
            pass
        return not self.is_dead

    async def _run(self, stack: AsyncExitStack, lines: Lines, script: Script) -> None:
        author, settings = self._author(), OutboxSettings()
        database = await stack.enter_async_context(
            open_database(self.directory, settings=settings, connect=InlineConnect(self._at, self._at))
        )
        outbox = await stack.enter_async_context(
            open_outbox(database, run=author.run, clock=author.clock, settings=settings)
        )
        connections = [connection for connection, _ in lines]
        devices = [device for connection in connections for device in connection.devices]
        effective, _ = await load_effective(database, devices)
        fleet = Fleet(connections, effective, author=author, alarms=outbox.alarms)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.run())
            tasks.create_task(Announcer(outbox=outbox, author=author, fleet=fleet).announce())
            for connection, driver in lines:
                collector = Collector(
                    connection=connection,
                    driver=driver,
                    fleet=fleet,
                    outbox=outbox,
                    author=author,
                    clock=author.clock,
                    chance=self.chance.random,
                )
                tasks.create_task(collector.run())
            await script(Life(outbox=outbox, fleet=fleet))
            raise _LifeOver

    def _author(self) -> Author:
        counter = itertools.count(1)
        run = uuid4()
        return Author(
            site_id="north-1",
            gateway_id="north-1",
            run=run,
            boot_id=self.boot_id,
            streams=StreamTemplates(),
            clock=VirtualClock(self.clock_state),
            new_id=lambda: UUID(int=run.int ^ next(counter)),
        )

    async def standing(self) -> list[OpenAlarm]:
        """Return what is remembered on disk; between two lives."""
        async with virtual_outbox(self.directory) as outbox:
            return list(outbox.alarms)

    async def told(self, *types: EventType) -> list[tuple[str, Mapping[str, Any]]]:
        """Return type and data of the events on disk, telemetry left out; between two lives."""
        async with virtual_outbox(self.directory) as outbox:
            entries = await all_entries(outbox)
        wanted = types or set(EventType) - {EventType.SENSOR_READING_RECEIVED}
        return [(entry.type, json.loads(entry.data)) for entry in entries if entry.type in wanted]
