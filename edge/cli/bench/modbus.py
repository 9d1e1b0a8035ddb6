"""Modbus/TCP as a greenhouse's gateway box offers it: many units behind one host, all polled on one connection.

`python -m edge.cli.bench.modbus` is that host: it prints its port and serves until it is ended.
"""

import asyncio
import math
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from drivers import driver_kind
from edge.cli.bench.accepted import collected
from edge.cli.bench.processes import peer_module
from edge.cli.bench.run import Measured, Run, spread_of
from edge.cli.bench.site import NOWHERE, SITE
from edge.domain.driver import DriverContext, PolledDriver
from edge.domain.reading import Sample
from edge.settings.site import load_settings

UNITS, POINTS = 50, 5
# What the units are asked at: 2,500 points a second are offered.
INTERVAL_S = 0.1
# So short that a device is always due: the line is never idle.
FLAT_OUT_S = 0.01
WARM_UP_S = 1.0
REPEATS = 5
REPEAT_S = 3.0
# Transaction, protocol, length, unit, function, address, count (Modbus messaging on TCP/IP, 3.1.3).
_REQUEST = struct.Struct(">HHHBBHH")
_ANSWER_HEAD = struct.Struct(">HHHBBB")

_CONNECTION = """
[[connection]]
id = "host"
driver = "modbus"
host = "127.0.0.1"
tcp_port = {port}
poll_interval_s = {interval_s}
"""
_UNIT = """
  [[connection.device]]
  id = "unit-{unit}"
  address = {unit}
"""
_POINT = """\
    [connection.device.point.air_temperature_{index}]
    table = "holding"
    address = {index}
    type = "int16"
    scale = 0.1
    unit = "Cel"
"""


class TimedDriver:
    """The real driver, with each poll's times noted."""

    def __init__(self, driver: PolledDriver) -> None:
        self._driver = driver
        # When a poll began and when it had its answer, by device.
        self.polls: dict[str, list[tuple[float, float]]] = {}
        self.count = 0

    def open(self) -> AbstractAsyncContextManager[None]:
        """Open the real one."""
        return self._driver.open()

    async def poll(self, device_id: str) -> Sample:
        """Ask, and note."""
        began_s = time.monotonic()
        sample = await self._driver.poll(device_id)
        self.polls.setdefault(device_id, []).append((began_s, time.monotonic()))
        self.count += 1
        return sample


async def measure(run: Run) -> Measured:
    """Measure modbus_points_per_s, modbus_cpu_s_per_1000, modbus_lateness_p99_s."""
    async with peer_module(run.directory / "host.log", "edge.cli.bench.modbus") as port:
        rates = await _flat_out(run, int(port))
        costs, late = await _at_its_interval(run, int(port))
    return {
        "modbus_points_per_s": spread_of(rates),
        "modbus_cpu_s_per_1000": spread_of(costs),
        "modbus_lateness_p99_s": spread_of(late),
    }


async def _flat_out(run: Run, port: int) -> list[float]:
    rates = []
    async with _polling(run.directory / "flat-out", port, FLAT_OUT_S) as driver:
        for _ in range(REPEATS):
            before, started_s = driver.count, time.monotonic()
            await asyncio.sleep(REPEAT_S)
            rates.append(POINTS * (driver.count - before) / (time.monotonic() - started_s))
            run.say(f"Modbus {rates[-1]:.0f} points/s")
    return rates


async def _at_its_interval(run: Run, port: int) -> tuple[list[float], list[float]]:
    costs, late = [], []
    async with _polling(run.directory / "at-interval", port, INTERVAL_S) as driver:
        for _ in range(REPEATS):
            driver.polls.clear()
            before, used_s, started_s = driver.count, time.process_time(), time.monotonic()
            await asyncio.sleep(REPEAT_S)
            points = POINTS * (driver.count - before)
            costs.append(1000 * (time.process_time() - used_s) / max(1, points))
            late.append(lateness_p99_s(driver.polls, expected=round(REPEAT_S / INTERVAL_S)))
            offered = UNITS * POINTS * (time.monotonic() - started_s) / INTERVAL_S
            run.say(
                f"{100 * points / offered:.1f} % of {UNITS * POINTS / INTERVAL_S:.0f} points/s, {late[-1]:.4f} s late"
            )
    return costs, late


def lateness_p99_s(polls: dict[str, list[tuple[float, float]]], *, expected: int) -> float:
    """Return how late the answer is that 99 of 100 are sooner than; a poll that was skipped is a whole interval late.

    A device's polls are due on a grid; the poll that began soonest after its moment shows where the grid lies.
    """
    late: list[float] = []
    for times in polls.values():
        first_s = times[0][0]
        # How far each began from a grid through the first one, at most half an interval to either side.
        offsets = [math.remainder(began_s - first_s, INTERVAL_S) for began_s, _ in times]
        soonest_s = min(offsets)
        durations = (ended_s - began_s for began_s, ended_s in times)
        late += [offset_s - soonest_s + took_s for offset_s, took_s in zip(offsets, durations, strict=True)]
        late += [INTERVAL_S] * max(0, expected - len(times))
    late.sort()
    return late[math.ceil(0.99 * len(late)) - 1]


@asynccontextmanager
async def _polling(directory: Path, port: int, interval_s: float) -> AsyncIterator[TimedDriver]:
    directory.mkdir()
    site_file = directory / "site.toml"
    site_file.write_text(_site(port, interval_s), encoding="utf-8")
    settings = load_settings(site_file)
    real = driver_kind("modbus").create(settings.connections[0], DriverContext())
    assert isinstance(real, PolledDriver)
    driver = TimedDriver(real)
    async with collected(settings, driver, directory / "state"):
        await asyncio.sleep(WARM_UP_S)
        yield driver


def _site(port: int, interval_s: float) -> str:
    points = "".join(_POINT.format(index=index) for index in range(POINTS))
    units = "".join(_UNIT.format(unit=unit) + points for unit in range(1, UNITS + 1))
    return SITE.format(uri=NOWHERE) + _CONNECTION.format(port=port, interval_s=interval_s) + units


class Host(asyncio.Protocol):
    """One connection to a host that costs next to nothing: every unit answers every read of registers at once."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        assert self._transport is not None
        self._received += data
        while len(self._received) >= _REQUEST.size:
            transaction, _, _, unit, function, address, count = _REQUEST.unpack_from(self._received)
            self._received = self._received[_REQUEST.size :]
            # Register n holds n, in tenths of something plausible.
            registers = struct.pack(f">{count}H", *(100 + address + index for index in range(count)))
            size = len(registers)
            self._transport.write(_ANSWER_HEAD.pack(transaction, 0, 3 + size, unit, function, size) + registers)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Host, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
