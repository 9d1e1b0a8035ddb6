import asyncio
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import drivers
from drivers.simulation import render_demo_site
from drivers.simulation.broker import mosquitto
from drivers.simulation.faults import Fault, fault_at
from edge.domain.driver import DeviceUnreachable, DriverContext, PolledDriver, PushedDriver
from edge.domain.reading import Quality, Reading
from edge.domain.settings import ConnectionSettings
from edge.settings.site import load_settings


@asynccontextmanager
async def simulate(*arguments: str | Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """Run the verb until it says that it is ready, and end it if the test has not."""
    command = [sys.executable, "-m", "edge", "simulate", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while line := (await process.stdout.readline()).decode().rstrip():
            lines.append(line)
            if line == "ready":
                break
        yield process, lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    file = tmp_path / "template.toml"
    file.write_text(render_demo_site(event_store_uri="esdb://127.0.0.1:2999?tls=false"), encoding="utf-8")
    return file


async def readings_of(connection: ConnectionSettings) -> dict[str, Mapping[str, Reading]]:
    """Read every device of a connection once, with its real driver."""
    driver = drivers.driver_kind(connection.driver).create(connection, DriverContext())
    readings: dict[str, Mapping[str, Reading]] = {}
    async with driver.open(), asyncio.timeout(30):
        if isinstance(driver, PolledDriver):
            for device in connection.devices:
                readings[device.id] = (await driver.poll(device.id)).readings
            return readings
        assert isinstance(driver, PushedDriver)
        while readings.keys() != {device.id for device in connection.devices}:
            samples = await driver.receive()
            driver.accepted(samples)
            readings |= {sample.device_id: sample.readings for sample in samples}
    return readings


async def test_every_device_of_the_demo_gives_values_through_the_written_site_file(site_file: Path) -> None:
    written = site_file.with_name("site.toml")
    async with simulate(site_file, "--write", written) as (process, lines):
        settings = load_settings(written)
        for connection in settings.connections:
            if connection.driver == "mqtt" and mosquitto() is None:
                continue
            for device_id, readings in (await readings_of(connection)).items():
                # Nobody tells the pH circuit the temperature here.
                usual = Quality.UNCERTAIN if device_id == "drip-ph" else Quality.GOOD
                assert {reading.quality for reading in readings.values()} == {usual}, device_id
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert settings.event_store.uri == "esdb://127.0.0.1:2999?tls=false"
    assert len(settings.devices()) == 19
    assert lines[0].startswith("climate: modbus tcp 127.0.0.1:")
    assert "bench3-co2 (unit 4)" in lines[0]
    assert lines[1].startswith(f"substrate: modbus rtu {written.with_name('site-ports')}/substrate: row2-slab (unit 1)")
    assert not written.with_name("site-ports").exists()


def seed_of_silence(device_id: str) -> int:
    """Find a seed that soon lets this device be silent, for longer than a poll needs to notice it."""
    return next(
        seed
        for seed in range(1, 10_000)
        if all(fault_at(device_id, moment, seed, (Fault.SILENT,)) for moment in (3, 6, 9, 12, 15))
    )


async def test_a_fault_that_is_named_happens(site_file: Path) -> None:
    written = site_file.with_name("site.toml")
    seed = seed_of_silence("tank-level")
    async with simulate(site_file, "--write", written, "--fault", "silent", "--seed", str(seed)):
        (water,) = [each for each in load_settings(written).connections if each.id == "water"]
        driver = drivers.driver_kind("modbus").create(water, DriverContext())
        assert isinstance(driver, PolledDriver)
        async with driver.open(), asyncio.timeout(30):
            with pytest.raises(DeviceUnreachable):  # noqa: PT012 - until it falls silent
                while True:
                    await driver.poll("tank-level")


async def test_a_fault_that_nobody_knows_is_refused(site_file: Path) -> None:
    async with simulate(site_file, "--fault", "bad-luck") as (process, lines):
        assert lines == []
        assert process.stderr is not None
        assert "wrong-clock" in (await process.stderr.read()).decode()
        assert await process.wait() == 2


async def test_devices_publish_at_a_broker_that_is_given(site_file: Path) -> None:
    heard = asyncio.Event()

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    written = site_file.with_name("site.toml")
    url = f"mqtt://127.0.0.1:{port}"
    async with simulate(site_file, "--write", written, "--broker", url) as (_, lines):
        await asyncio.wait_for(heard.wait(), 20)
        assert tomllib.loads(written.read_text(encoding="utf-8"))["connection"][-1]["url"] == url
    assert any(line.startswith(f"radio: {url}") for line in lines)
    server.close()


async def test_a_broker_that_is_not_there_is_a_temporary_failure(site_file: Path) -> None:
    closed = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    async with simulate(site_file, "--broker", f"mqtt://127.0.0.1:{port}") as (process, _lines):
        assert process.stderr is not None
        message = (await process.stderr.read()).decode()
        assert await process.wait() == 75
    assert f"mqtt://127.0.0.1:{port} cannot be reached" in message


async def test_ports_are_kept_over_a_restart(site_file: Path) -> None:
    written = site_file.with_name("site.toml")
    async with simulate(site_file, "--write", written) as (process, _):
        first = written.read_text(encoding="utf-8")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    async with simulate(site_file, "--write", written):
        assert written.read_text(encoding="utf-8") == first


async def test_a_port_that_somebody_else_has_is_replaced(site_file: Path) -> None:
    written = site_file.with_name("site.toml")
    busy = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = busy.sockets[0].getsockname()[1]
    earlier = f'[[connection]]\nid = "water"\nhost = "127.0.0.1"\ntcp_port = {port}\n'
    written.write_text(earlier, encoding="utf-8")
    async with simulate(site_file, "--write", written):
        water = tomllib.loads(written.read_text(encoding="utf-8"))["connection"][3]
    busy.close()
    assert water["id"] == "water"
    assert water["tcp_port"] != port


async def test_a_site_file_with_mistakes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("[site]\nid = 3\n", encoding="utf-8")
    async with simulate(file) as (process, lines):
        assert lines == []
        assert process.stderr is not None
        message = (await process.stderr.read()).decode()
        assert await process.wait() == 78
    assert f"{file}:2:1: site.id: " in message


async def test_the_site_file_itself_is_not_overwritten(site_file: Path) -> None:
    before = site_file.read_bytes()
    async with simulate(site_file, "--write", site_file) as (process, _):
        assert await process.wait() == 2
    assert site_file.read_bytes() == before


async def test_an_address_that_is_not_ours_is_a_temporary_failure(site_file: Path) -> None:
    async with simulate(site_file, "--listen", "192.0.2.1") as (process, _lines):
        assert process.stderr is not None
        message = (await process.stderr.read()).decode()
        assert await process.wait() == 75
    assert "192.0.2.1" in message
