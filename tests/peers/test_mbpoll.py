"""mbpoll, a client by other people, against `simulate`: it sees what our own driver sees."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from drivers.modbus.options import ModbusConnectionOptions
from edge.domain.reading import Value
from edge.domain.settings import Settings
from edge.settings.site import load_settings
from fakes.peer_site import loaded, opened, read_only
from fakes.peers import peer

pytestmark = pytest.mark.xdist_group("modbus peers")

# Generous: two cores that others use, too.
WAIT_S = 30.0
UNIT = 3
# What the model knows nothing of stays where it is, so two clients see the same.
POINTS = (
    '[connection.device.point.rainfall]\ntable = "input"\naddress = 10\ntype = "int16"\nscale = 0.1\n',
    '[connection.device.point.nitrogen]\ntable = "input"\naddress = 20\ntype = "float32"\nword_order = "ABCD"\n',
    '[connection.device.point.salinity]\ntable = "input"\naddress = 30\ntype = "float32"\nword_order = "CDAB"\n',
    *(
        read_only(name, f'table = "holding"\naddress = {address}\n{keys}')
        for name, address, keys in (
            ("level", 40, 'type = "int16"'),
            ("big", 50, 'type = "float32"\nword_order = "ABCD"'),
            ("little", 52, 'type = "float32"\nword_order = "CDAB"'),
            ("energy", 60, 'type = "int32"\nword_order = "ABCD"'),
        )
    ),
    *(
        read_only(f"{table}_{address}", f'table = "{table}"\naddress = {address}\ntype = "bool"')
        for table in ("coil", "discrete")
        for address in range(3)
    ),
)


def greenhouse() -> str:
    """The same device behind a host and on a line."""
    wires = {"tcp": 'host = "bench.local"\n', "rtu": 'transport = "serial"\nserial_port = "/dev/ttyUSB0"\n'}
    return "".join(
        f'[[connection]]\nid = "{name}"\ndriver = "modbus"\n{where}'
        f'[[connection.device]]\nid = "{name}-probe"\naddress = {UNIT}\n{"".join(POINTS)}'
        for name, where in wires.items()
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A greenhouse that `simulate` serves, and its addresses."""
    folder = tmp_path_factory.mktemp("simulated")
    wanted, written = loaded(folder, greenhouse()).file, folder / "written.toml"
    command = [sys.executable, "-m", "edge", "simulate", str(wanted), "--write", str(written)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline_s = time.monotonic() + WAIT_S
            while "ready" not in (said := (folder / "log").read_text()):
                assert process.poll() is None, said
                assert time.monotonic() < deadline_s, said
                time.sleep(0.02)
            yield load_settings(written)
        finally:
            process.terminate()


@pytest.fixture(params=["tcp", "rtu"])
def house(request: pytest.FixtureRequest, settings: Settings) -> "House":
    index = ["tcp", "rtu"].index(request.param)
    options = settings.connections[index].options
    assert isinstance(options, ModbusConnectionOptions)
    if request.param == "tcp":
        return House(settings, index, ["-m", "tcp", "-p", str(options.tcp_port), options.host])
    return House(settings, index, ["-m", "rtu", "-b", "9600", "-P", "none", options.serial_port])


@dataclass(frozen=True)
class House:
    """A connection that is served, and how mbpoll is told of it."""

    settings: Settings
    index: int
    where: Sequence[str]

    async def mbpoll(self, *arguments: str, written: Sequence[str] = ()) -> tuple[int, str]:
        """Let mbpoll ask once; returns its exit code and its words."""
        *options, device = self.where
        process = await asyncio.create_subprocess_exec(
            *(peer("mbpoll"), "-1", "-0", *options, *arguments, device, *written),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def shown(self, *arguments: str, unit: int = UNIT) -> list[float]:
        """Return the numbers that mbpoll shows."""
        code, said = await self.mbpoll("-a", str(unit), *arguments)
        assert code == 0, said
        return [float(number) for number in re.findall(r"^\[\d+\]:\s+(\S+)", said, re.MULTILINE)]

    async def write(self, *arguments: str) -> None:
        """Let mbpoll write; the last argument is the value."""
        code, said = await self.mbpoll("-a", str(UNIT), *arguments[:-1], written=["--", arguments[-1]])
        assert code == 0, said

    async def read(self) -> dict[str, Value | None]:
        """Return what our driver reads."""
        async with opened(self.settings, index=self.index) as driver:
            readings = (await driver.poll(self.settings.devices()[self.index].id)).readings
        return {point_id: reading.value for point_id, reading in readings.items()}


async def test_mbpoll_sees_the_numbers_that_our_driver_sees(house: House) -> None:
    ours = await house.read()
    assert await house.shown("-t", "3", "-r", "10") == [124.0]
    # -B: the high word first.
    assert await house.shown("-t", "3:float", "-B", "-r", "20") == [ours["nitrogen"]]
    assert await house.shown("-t", "3:float", "-r", "30") == [ours["salinity"]]
    assert ours["rainfall"] == 12.4


async def test_what_mbpoll_writes_our_driver_reads(house: House) -> None:
    # -12345: mbpoll takes 16 bits without a sign.
    await house.write("-t", "4", "-r", "40", "53191")
    await house.write("-t", "4:float", "-B", "-r", "50", "-21.75")
    await house.write("-t", "4:float", "-r", "52", "1013.25")
    await house.write("-t", "4:int", "-B", "-r", "60", "-123456789")
    await house.write("-t", "0", "-r", "1", "1")
    ours = await house.read()
    coils = await house.shown("-t", "0", "-r", "0", "-c", "3")
    inputs = await house.shown("-t", "1", "-r", "0", "-c", "3")
    assert (ours["level"], ours["big"], ours["little"], ours["energy"]) == (-12345.0, -21.75, 1013.25, -123456789.0)
    assert coils == [0.0, 1.0, 0.0] == [ours[f"coil_{address}"] for address in range(3)]
    assert inputs == [ours[f"discrete_{address}"] for address in range(3)]


async def test_an_unknown_unit_is_silent_and_an_unknown_address_an_exception(house: House) -> None:
    code, said = await house.mbpoll("-a", str(UNIT + 1), "-o", "0.2", "-t", "3", "-r", "10")
    assert code != 0
    assert "timed out" in said
    code, said = await house.mbpoll("-a", str(UNIT), "-t", "3", "-r", "999")
    assert code != 0
    assert "Illegal data address" in said
