"""What devices ask for beyond plain reads: setup writes, points they do not have, status and decimals registers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from drivers.decoders.modbus_point import StatusRule
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusDeviceOptions, SetupWrite, Transport
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from edge.domain.reading import Reading, Reason, bad
from edge.domain.settings import DeviceSettings
from fakes.modbus_line import Asked, Line, Piece, line_of
from fakes.modbus_peer import registers_pdu
from fakes.modbus_site import device, on_line, point

UNIT = 1
START = "10 1c 00 00 00 00"
# Of most tests here: the setup's register, and the point's.
READ_BACK, WRITE = "03 00 07 00 01", "06 00 07 00 01"
READ = "03 00 05 00 01"


@dataclass
class Registers:
    """A unit with registers that can be written; it is silent while it is off and refuses what it is told to."""

    values: dict[int, int] = field(default_factory=dict)
    is_off: bool = False
    # It is silent when these are read; and whether it confirms what is written to it.
    hidden: frozenset[int] = frozenset()
    confirms: bool = True
    refused: frozenset[int] = frozenset()
    refuses_with: int = 3

    def __call__(self, asked: Asked) -> Sequence[Piece]:
        if self.is_off or (asked.pdu[0] == 3 and asked.address in self.hidden):
            return []
        if asked.address in self.refused:
            return [Piece(data=asked.framed(bytes([asked.pdu[0] | 0x80, self.refuses_with])))]
        if asked.pdu[0] == 6:
            self.values[asked.address] = asked.count
        if asked.pdu[0] != 3 and not self.confirms:
            return []
        if asked.pdu[0] != 3:
            return [Piece(data=asked.framed(asked.pdu[:5]))]
        held = [self.values.get(asked.address + index, 0) for index in range(asked.count)]
        return [Piece(data=asked.framed(registers_pdu(3, held)))]


@asynccontextmanager
async def driven(
    registers: Registers, settings: DeviceSettings, transport: Transport = "tcp"
) -> AsyncIterator[tuple[ModbusDriver, Line]]:
    async with line_of(transport, registers) as (line, options):
        driver = ModbusDriver(on_line(options, settings))
        async with driver.open():
            yield driver, line


def set_up(*writes: SetupWrite) -> DeviceSettings:
    return device("probe", point("t", 5), options=ModbusDeviceOptions(address=UNIT, setup=writes))


def told(line: Line) -> list[str]:
    return [asked.pdu.hex(" ") for asked in line.asked]


@pytest.mark.parametrize("transport", ["tcp", "serial"])
async def test_the_setup_is_written_before_the_first_read_and_not_again(transport: Transport) -> None:
    writes = (SetupWrite(address=7, values=(2, 3)), SetupWrite(frame=START), SetupWrite(address=9, value=4))
    async with driven(Registers(), set_up(*writes), transport) as (driver, line):
        await driver.poll("probe")
        await driver.poll("probe")
        several = ["03 00 07 00 02", "10 00 07 00 02 04 00 02 00 03"]
        assert told(line) == [*several, START, "03 00 09 00 01", "06 00 09 00 04", READ, READ]


async def test_the_setup_is_looked_at_again_on_a_new_connection_and_not_written_where_it_stands() -> None:
    async with line_of("tcp", Registers()) as (line, options):
        driver = ModbusDriver(on_line(options, set_up(SetupWrite(address=7, value=-1), SetupWrite(frame=START))))
        for _ in range(2):
            async with driver.open():
                await driver.poll("probe")
    assert told(line) == [READ_BACK, "06 00 07 ff ff", START, READ, READ_BACK, START, READ]


async def test_the_setup_is_written_again_when_the_device_was_silent() -> None:
    registers = Registers()
    async with driven(registers, set_up(SetupWrite(address=7, value=1))) as (driver, line):
        await driver.poll("probe")
        registers.is_off = True
        for _ in range(2):
            with pytest.raises(DeviceUnreachable):
                await driver.poll("probe")
        registers.is_off = False
        registers.values.clear()  # it had lost its power
        line.asked.clear()
        await driver.poll("probe")
        assert told(line)[-3:] == [READ_BACK, WRITE, READ]


async def test_a_device_that_misses_an_answer_now_and_then_is_not_worn_out_by_its_setup() -> None:
    registers = Registers({5: 21})
    async with driven(registers, set_up(SetupWrite(address=7, value=1))) as (driver, line):
        for _ in range(5):
            await driver.poll("probe")
            registers.is_off = True
            with pytest.raises(DeviceUnreachable):
                await driver.poll("probe")
            registers.is_off = False
        assert told(line).count(WRITE) == 1


async def test_nothing_is_written_to_a_device_that_does_not_answer() -> None:
    async with driven(Registers(is_off=True), set_up(SetupWrite(address=7, value=1))) as (driver, line):
        for _ in range(4):
            with pytest.raises((DeviceUnreachable, ConnectionLost)):
                await driver.poll("probe")
        assert WRITE not in told(line)


async def test_a_device_that_is_silent_only_about_its_setup_gets_it_all_the_same() -> None:
    registers = Registers({5: 21}, hidden=frozenset({7}))
    async with driven(registers, set_up(SetupWrite(address=7, value=1))) as (driver, line):
        with pytest.raises(DeviceUnreachable):
            await driver.poll("probe")
        assert (await driver.poll("probe")).readings["t"].value == 21.0
        assert told(line) == [READ_BACK, READ, READ_BACK, WRITE, READ]


async def test_a_device_that_needs_a_pause_is_warming_up_and_the_line_is_free_meanwhile() -> None:
    writes = (SetupWrite(frame=START, pause_ms=60_000), SetupWrite(address=7, value=1))
    async with driven(Registers(), set_up(*writes)) as (driver, line):
        for _ in range(2):
            assert (await driver.poll("probe")).readings == {"t": bad(Reason.WARMING_UP, "Cel")}
        assert told(line) == [START]


async def test_a_short_pause_is_waited_out() -> None:
    writes = (SetupWrite(address=7, value=1, pause_ms=50), SetupWrite(address=8, value=1))
    async with driven(Registers({5: 21}), set_up(*writes)) as (driver, line):
        assert (await driver.poll("probe")).readings["t"].value == 21.0
    assert told(line)[1:3] == [WRITE, "03 00 08 00 01"]
    assert line.asked_s[2] - line.asked_s[1] >= 0.05


async def test_a_device_that_refuses_its_setup_is_read_all_the_same() -> None:
    registers = Registers({5: 21}, refused=frozenset({7}))
    async with driven(registers, set_up(SetupWrite(address=7, value=1))) as (driver, line):
        assert (await driver.poll("probe")).readings["t"].value == 21.0
        await driver.poll("probe")
        assert told(line).count("06 00 07 00 01") == 1


async def test_a_device_that_is_busy_is_set_up_at_the_next_poll() -> None:
    registers = Registers({5: 21}, refused=frozenset({7}), refuses_with=6)
    async with driven(registers, set_up(SetupWrite(address=7, value=1))) as (driver, line):
        with pytest.raises(MalformedResponse, match="puts its setup off, with exception 6"):
            await driver.poll("probe")
        registers.refused = frozenset()
        assert (await driver.poll("probe")).readings["t"].value == 21.0
    assert told(line) == [READ_BACK, WRITE, READ_BACK, WRITE, READ]


async def test_a_setup_whose_confirmation_was_lost_is_found_in_the_device() -> None:
    registers = Registers({5: 21}, confirms=False)
    async with driven(registers, set_up(SetupWrite(address=7, value=1))) as (driver, line):
        with pytest.raises(DeviceUnreachable):
            await driver.poll("probe")
        assert (await driver.poll("probe")).readings["t"].value == 21.0
    assert told(line) == [READ_BACK, WRITE, READ_BACK, READ]


async def test_a_point_that_the_device_does_not_have_is_not_asked_for_again() -> None:
    has, lacks = point("has", 5), point("lacks", 6, unsupported_raw=(0xFFFE,))
    async with driven(Registers({5: 21, 6: 0xFFFE}), device("probe", has, lacks)) as (driver, line):
        for _ in range(2):
            assert (await driver.poll("probe")).readings == {"has": Reading(value=21.0, unit="Cel")}
    assert told(line) == ["03 00 05 00 02", "03 00 05 00 01"]


async def test_a_device_that_has_none_of_its_points_is_no_reading() -> None:
    lacks = point("lacks", 6, unsupported_raw=(0xFFFE,))
    async with driven(Registers({6: 0xFFFE}), device("probe", lacks)) as (driver, line):
        for _ in range(2):
            with pytest.raises(MalformedResponse, match="says of each of its points that it does not have it"):
                await driver.poll("probe")
        assert len(line.asked) == 1


async def test_a_status_register_speaks_for_the_points_it_guards() -> None:
    rule = StatusRule(mask=0x7F, points=("co2",), reason="sensor_fault")
    points = (point("co2", 3, unit="[ppm]"), point("t", 4), point("status", 0, unit=None, bad_when_bits=rule))
    registers = Registers({0: 0x80, 3: 412, 4: 21})
    async with driven(registers, device("probe", *points)) as (driver, _):
        good = (await driver.poll("probe")).readings
        registers.values[0] = 0x20
        faulty = (await driver.poll("probe")).readings
    assert good["co2"] == Reading(value=412.0, unit="[ppm]")
    assert faulty["co2"] == bad(Reason.SENSOR_FAULT, "[ppm]")
    assert faulty["t"].value == 21.0


async def test_what_a_refused_status_register_guards_is_not_believed() -> None:
    rule = StatusRule(mask=1, points=("co2",))
    points = (point("co2", 3, unit="[ppm]"), point("status", 0, unit=None, bad_when_bits=rule))
    registers = Registers({3: 412}, refused=frozenset({0}))
    async with driven(registers, device("probe", *points)) as (driver, _):
        assert (await driver.poll("probe")).readings["co2"] == bad(Reason.COMM_ERROR, "[ppm]")


async def test_a_decimals_register_is_read_with_its_value() -> None:
    async with driven(Registers({4: 1234, 3: 2}), device("probe", point("level", 4, decimals_address=3, unit="m"))) as (
        driver,
        line,
    ):
        assert (await driver.poll("probe")).readings["level"].value == 12.34
    assert told(line) == ["03 00 03 00 02"]
