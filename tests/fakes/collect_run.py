"""A collector at work on virtual time, with everything around it faked."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.domain.configuration import site_file_configuration
from edge.domain.device_group import member
from edge.domain.driver import Driver
from edge.domain.settings import ConnectionSettings, DeviceGroup
from fakes.alarm_check import alarm_violations
from fakes.collect_site import FakeOutbox, author
from fakes.virtual_time import VirtualClock, run_virtual


@dataclass(kw_only=True)
class Work:
    """What a test sees of a run."""

    fleet: Fleet
    outbox: FakeOutbox
    clock: VirtualClock
    registrar: "FakeRegistrar"


Story = Callable[[Work], Awaitable[None]]
Line = tuple[ConnectionSettings, Driver]


@dataclass(kw_only=True)
class FakeRegistrar:
    """Makes devices without a disk; `errors` are raised first, one a call."""

    fleet: Fleet
    asked: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    async def adopt(self, connection_id: str, group: DeviceGroup, name: str) -> bool:
        self.asked.append(name)
        if self.errors:
            raise self.errors.pop(0)
        adopted = member(group, name)
        self.fleet.join(adopted, site_file_configuration(adopted), connection_id=connection_id)
        return True


def collect(*lines: Line, outbox: FakeOutbox | None = None, story: Story) -> Work:
    """Run one collector per line while `story` is told, then stop them and commit what is left."""

    async def main() -> Work:
        work, collectors = _set_up(lines, outbox or FakeOutbox())
        tasks = [asyncio.ensure_future(story(work))]
        tasks += [asyncio.create_task(collector.run()) for collector in collectors]
        tasks += [asyncio.create_task(work.outbox.run())]
        # A collector that ends by itself is a failure of its own, whatever the story waits for.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1:]), outcomes
        work.outbox.commit()
        assert alarm_violations((event.type, event.data) for event in work.outbox.events) == []
        return work

    return run_virtual(main)


def _set_up(lines: Sequence[Line], outbox: FakeOutbox) -> tuple[Work, list[Collector]]:
    clock = VirtualClock()
    writer = author(clock)
    chance = random.Random(7)
    connections = [settings for settings, _ in lines]
    devices = [device for settings in connections for device in settings.devices]
    configurations = {device.id: site_file_configuration(device) for device in devices}
    fleet = Fleet(connections, configurations, author=writer, alarms=outbox.alarms)
    work = Work(fleet=fleet, outbox=outbox, clock=clock, registrar=FakeRegistrar(fleet=fleet))
    collectors = [
        Collector(
            connection=settings,
            driver=driver,
            fleet=fleet,
            outbox=outbox,
            author=writer,
            clock=clock,
            chance=chance.random,
            registrar=work.registrar,
        )
        for settings, driver in lines
    ]
    return work, collectors


def for_seconds(seconds: float) -> Story:
    """Let time pass and do nothing."""

    async def story(_: Work) -> None:
        await asyncio.sleep(seconds)

    return story
