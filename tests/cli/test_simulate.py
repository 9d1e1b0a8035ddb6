import asyncio
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import drivers
from drivers.simulation import render_demo_site
from edge.domain.driver import DriverContext, PolledDriver
from edge.domain.reading import Quality
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


async def test_every_device_of_the_demo_gives_good_values_through_the_written_site_file(site_file: Path) -> None:
    written = site_file.with_name("site.toml")
    async with simulate(site_file, "--write", written) as (process, lines):
        settings = load_settings(written)
        for connection in settings.connections:
            driver = drivers.driver_kind(connection.driver).create(connection, DriverContext())
            assert isinstance(driver, PolledDriver)
            async with driver.open():
                for device in connection.devices:
                    readings = (await driver.poll(device.id)).readings
                    assert {reading.quality for reading in readings.values()} == {Quality.GOOD}
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert settings.event_store.uri == "esdb://127.0.0.1:2999?tls=false"
    assert len(settings.devices()) == 10
    assert lines[0].startswith("climate: modbus tcp 127.0.0.1:")
    assert "bench3-co2 (unit 4)" in lines[0]


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
    async with simulate(site_file, "--listen", "192.0.2.1") as (process, _):
        assert process.stderr is not None
        message = (await process.stderr.read()).decode()
        assert await process.wait() == 75
    assert "192.0.2.1" in message
