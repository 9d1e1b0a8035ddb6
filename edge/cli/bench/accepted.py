"""How many samples a second come to disk, as fast as a driver can give them."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.simulated.driver import SimulatedDriver
from edge.cli.bench.run import Measured, Run, spread_of
from edge.cli.bench.site import BenchSite
from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.domain.configuration import site_file_configuration
from edge.domain.driver import Driver
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings, Settings
from edge.gateway.author import make_author
from edge.operate.clock import SystemClock
from edge.operate.garbage import look_less_often
from edge.settings.site import load_settings
from edge.storage.database import open_database
from edge.storage.outbox import Outbox, open_outbox

DEVICES = 8
REPEATS = 5
REPEAT_S = 3.0
WARM_UP_S = 1.0
# The samples of one `receive`: a few milliseconds of them, as from the socket of a busy broker.
BURST = 100
# Unacknowledged at most, as a broker's in-flight window is: four full commits, so that the writer never waits.
WINDOW = 2000
# Made beforehand, so that their making is not measured.
SAMPLES_OF_EACH = 2000


class FloodDriver:
    """A PushedDriver that always has more, up to its window of what is not acknowledged."""

    def __init__(self, samples: Sequence[Sample], *, burst: int = BURST, window: int = WINDOW) -> None:
        self._samples = itertools.cycle(samples)
        self._burst = burst
        self._window = window
        self._room = asyncio.Event()
        self._given = 0
        self.acknowledged = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """There is nothing to open."""
        yield

    async def receive(self) -> Sequence[Sample]:
        """Give a burst as soon as the window has room for it."""
        while self._given - self.acknowledged > self._window - self._burst:
            self._room.clear()
            await self._room.wait()
        # A socket would also let other tasks run.
        await asyncio.sleep(0)
        self._given += self._burst
        return list(itertools.islice(self._samples, self._burst))

    def accepted(self, samples: Sequence[Sample]) -> None:
        """Count what is on disk."""
        self.acknowledged += len(samples)
        self._room.set()


async def measure(run: Run) -> Measured:
    """Measure accepted_per_s."""
    settings = load_settings(BenchSite(devices=DEVICES).write(run.directory))
    driver = FloodDriver(await samples_of(settings.connections[0]))
    async with collected(settings, driver, run.directory / "state"):
        await asyncio.sleep(WARM_UP_S)
        rates = []
        for _ in range(REPEATS):
            before, started_s = driver.acknowledged, time.monotonic()
            await asyncio.sleep(REPEAT_S)
            rates.append((driver.acknowledged - before) / (time.monotonic() - started_s))
            run.say(f"accepted {rates[-1]:.0f} samples/s")
    return {"accepted_per_s": spread_of(rates)}


async def samples_of(connection: ConnectionSettings) -> list[Sample]:
    """Let the simulated devices speak in turn, for a while."""
    driver = SimulatedDriver(connection)
    async with driver.open():
        return [await driver.poll(device.id) for _ in range(SAMPLES_OF_EACH) for device in connection.devices]


@asynccontextmanager
async def collected(settings: Settings, driver: Driver, state_directory: Path) -> AsyncIterator[Outbox]:
    """Run the first connection's collector and writer on what a driver gives, without forwarding."""
    clock = SystemClock()
    author = make_author(settings, clock)
    configurations = {device.id: site_file_configuration(device) for device in settings.devices()}
    fleet = Fleet(settings.connections, configurations, author=author)
    async with (
        open_database(state_directory, settings=settings.outbox) as database,
        open_outbox(database, run=author.run, clock=clock, settings=settings.outbox) as outbox,
    ):
        collector = Collector(
            connection=settings.connections[0],
            driver=driver,
            fleet=fleet,
            outbox=outbox,
            author=author,
            clock=clock,
            chance=lambda: 0.5,
        )
        # As the daemon does.
        look_less_often()
        tasks = [
            asyncio.create_task(outbox.run(), name="writer"),
            asyncio.create_task(collector.run(), name="collector"),
        ]
        try:
            yield outbox
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.wait(tasks)
