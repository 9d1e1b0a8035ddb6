"""A collector that ends while its gateway goes on."""

import asyncio

from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.domain.configuration import site_file_configuration
from edge.domain.event import EventType
from fakes.collect_site import FakeOutbox, author, connection, device
from fakes.scripted_driver import ScriptedPolledDriver
from fakes.virtual_time import VirtualClock, run_virtual


def collector_of(outbox: FakeOutbox, driver: ScriptedPolledDriver) -> Collector:
    clock, line = VirtualClock(), connection(device("a"))
    writer = author(clock)
    configurations = {"a": site_file_configuration(line.devices[0])}
    return Collector(
        connection=line,
        driver=driver,
        fleet=Fleet([line], configurations, author=writer, alarms=outbox.alarms),
        outbox=outbox,
        author=writer,
        clock=clock,
        chance=lambda: 0.5,
    )


async def run_for(collector: Collector, seconds: float) -> None:
    task = asyncio.create_task(collector.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])


def test_a_collector_tells_the_rest_once_the_outbox_has_room() -> None:
    async def main() -> None:
        outbox = FakeOutbox(room=0)
        collector = collector_of(outbox, ScriptedPolledDriver())
        await run_for(collector, 10.5)
        rest = asyncio.create_task(collector.tell_rest())
        await asyncio.sleep(30)
        assert not rest.done()
        outbox.room = 100
        await rest
        outbox.commit()
        assert [event.data["count"] for event in outbox.of(EventType.READINGS_DROPPED)] == [11]

    run_virtual(main)


def test_a_collector_that_has_told_everything_is_not_waited_for() -> None:
    async def main() -> None:
        collector = collector_of(FakeOutbox(), ScriptedPolledDriver())
        await collector.tell_rest()
        await run_for(collector, 10.5)
        async with asyncio.timeout(0.1):
            await collector.tell_rest()

    run_virtual(main)


def test_a_collector_runs_again_after_it_was_cancelled() -> None:
    async def main() -> None:
        outbox, driver = FakeOutbox(), ScriptedPolledDriver()
        collector = collector_of(outbox, driver)
        for _ in range(2):
            await run_for(collector, 10.5)
            await asyncio.sleep(5)
        outbox.commit()
        assert len(outbox.samples("a")) == len(driver.polls) == 22
        assert (driver.opened, driver.closed) == (2, 2)

    run_virtual(main)
