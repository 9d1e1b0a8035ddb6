"""MQTT: how fast a broker's backlog is taken over, each message on disk before it is acknowledged."""

import asyncio
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from drivers import driver_kind
from drivers.simulation.broker import open_broker
from edge.cli.bench.accepted import collected
from edge.cli.bench.processes import ChildFailed, program
from edge.cli.bench.run import Measured, Run, spread_of
from edge.cli.bench.site import NOWHERE, SITE
from edge.domain.driver import DriverContext, PushedDriver
from edge.domain.reading import Sample
from edge.domain.settings import Settings
from edge.settings.site import load_settings

DEVICES = 8
MESSAGES = 40_000
REPEATS = 3
READY_TIMEOUT_S = 20.0
# Ten times what a small box needs.
DRAIN_TIMEOUT_S = 120.0

_CONNECTION = """
[[connection]]
id = "broker"
driver = "mqtt"
url = "mqtt://127.0.0.1:{port}"
"""
_DEVICE = """
  [[connection.device]]
  id = "climate-{number}"
  topic = "bench/{number}"
    [connection.device.point.air_temperature]
    path = "temperature"
    [connection.device.point.relative_humidity]
    path = "humidity"
"""


class CountingDriver:
    """The real driver, with what was accepted counted."""

    def __init__(self, driver: PushedDriver) -> None:
        self._driver = driver
        self.window = getattr(driver, "window", None)
        self._accepted_count = 0
        self.is_done = asyncio.Event()
        self.is_open = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the real one."""
        async with self._driver.open():
            self.is_open.set()
            yield

    async def receive(self) -> Sequence[Sample]:
        """Receive."""
        return await self._driver.receive()

    def accepted(self, samples: Sequence[Sample]) -> None:
        """Let the broker know, and count."""
        self._driver.accepted(samples)
        self._accepted_count += len(samples)
        if self._accepted_count >= MESSAGES:
            self.is_done.set()


async def measure(run: Run) -> Measured:
    """Measure mqtt_per_s, mqtt_cpu_s_per_1000. Raises PeerMissing without mosquitto."""
    program("mosquitto")
    publisher = program("mosquitto_pub")
    rates, costs = [], []
    async with open_broker(listen="127.0.0.1") as broker:
        assert broker is not None, "mosquitto is installed"
        port = broker.port
        site_file = run.directory / "site.toml"
        site_file.write_text(_site(port), encoding="utf-8")
        settings = load_settings(site_file)
        async with _connected(settings, run.directory / "first"):
            pass  # From now on the broker keeps what we miss.
        for repeat in range(REPEATS):
            await _publish(publisher, port)
            rate, cost = await _take_over(settings, run.directory / f"state-{repeat}")
            run.say(f"MQTT {rate:.0f} messages/s, {cost:.3f} CPU s per 1,000")
            rates.append(rate)
            costs.append(cost)
    return {"mqtt_per_s": spread_of(rates), "mqtt_cpu_s_per_1000": spread_of(costs)}


async def _take_over(settings: Settings, state_directory: Path) -> tuple[float, float]:
    """Connect, and take the backlog; returns messages/s and CPU seconds per 1,000 of them."""
    used_s, started_s = time.process_time(), time.monotonic()
    async with _connected(settings, state_directory) as driver, asyncio.timeout(DRAIN_TIMEOUT_S):
        await driver.is_done.wait()
        return MESSAGES / (time.monotonic() - started_s), 1000 * (time.process_time() - used_s) / MESSAGES


@asynccontextmanager
async def _connected(settings: Settings, state_directory: Path) -> AsyncIterator[CountingDriver]:
    real = driver_kind("mqtt").create(settings.connections[0], DriverContext(gateway_id="bench"))
    assert isinstance(real, PushedDriver)
    driver = CountingDriver(real)
    async with collected(settings, driver, state_directory):
        async with asyncio.timeout(READY_TIMEOUT_S):
            await driver.is_open.wait()
        yield driver


async def _publish(publisher: str, port: int) -> None:
    """Publish, with QoS 1, each device's share of the messages."""
    lines = [
        f'{{"temperature": {18 + number % 97 / 10:.1f}, "humidity": {50 + number % 301 / 10:.1f}, "n": {number}}}\n'
        for number in range(MESSAGES // DEVICES)
    ]
    text = "".join(lines).encode()
    for number in range(DEVICES):
        process = await asyncio.create_subprocess_exec(
            publisher, "-h", "127.0.0.1", "-p", str(port), "-t", f"bench/{number}", "-q", "1", "-l",
            stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
        await process.communicate(text)
        if process.returncode != 0:
            raise ChildFailed(f"mosquitto_pub left with {process.returncode}")


def _site(port: int) -> str:
    return (
        SITE.format(uri=NOWHERE)
        + _CONNECTION.format(port=port)
        + "".join(_DEVICE.format(number=number) for number in range(DEVICES))
    )
