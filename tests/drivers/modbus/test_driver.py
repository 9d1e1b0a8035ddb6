"""The driver against a real server on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

import drivers
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusDeviceOptions
from edge.domain.driver import ConnectionLost, DeviceUnreachable, DriverContext, MalformedResponse, PolledDriver
from edge.domain.quantity import Conversion
from edge.domain.reading import Quality, Reading, Reason, bad
from fakes.modbus_site import connection, device, point


@asynccontextmanager
async def served(*devices: SimDevice) -> AsyncIterator[int]:
    server = ModbusTcpServer(list(devices), address=("127.0.0.1", 0), ignore_missing_devices=False)
    await server.serve_forever(background=True)
    assert isinstance(server.transport, asyncio.Server)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


def registers(address: int, *values: int) -> SimData:
    return SimData(address, values=list(values), datatype=DataType.REGISTERS)


def unit(number: int, *data: SimData) -> SimDevice:
    return SimDevice(number, simdata=list(data))


async def test_points_of_several_types_are_read_scaled_and_converted() -> None:
    points = [
        point("temperature", 1, table="input", type="int16", scale=0.1),
        point("humidity", 2, table="input", scale=0.1, unit="%"),
        point("power", 3, table="input", type="float32", word_order="CDAB", unit="W"),
        point("ec", 5, table="input", type="uint32", unit="mS/cm", conversion=Conversion(factor=0.001)),
        point("count", 10, table="input", type="int32", unit="1"),
    ]
    async with served(unit(7, registers(1, 65331, 546, 54394, 17384, 0, 1413), registers(10, 0xFFFF, 0xFFFE))) as port:
        driver = ModbusDriver(connection(port, device("bench", *points, options=ModbusDeviceOptions(address=7))))
        async with driver.open():
            sample = await driver.poll("bench")
    assert sample.device_id == "bench"
    assert sample.readings == {
        "temperature": Reading(value=-20.5, unit="Cel"),
        "humidity": Reading(value=54.6, unit="%"),
        "power": Reading(value=465.65997, unit="W"),
        "ec": Reading(value=1.413, unit="mS/cm"),
        "count": Reading(value=-2.0, unit="1"),
    }
    assert list(sample.readings) == [each.id for each in points]


async def test_coils_and_discrete_inputs_are_booleans() -> None:
    coils = SimData(0, values=[False, True, False], datatype=DataType.BITS)
    inputs = SimData(20, values=[True] * 9, datatype=DataType.BITS)
    tables = ([coils], [inputs], [registers(0, 0)], [registers(0, 0)])
    points = [
        point("valve", 1, table="coil", type="bool", unit=None),
        point("door", 28, table="discrete", type="bool", unit=None),
        point("shut", 0, table="coil", type="bool", unit=None),
    ]
    async with served(SimDevice(1, simdata=tables)) as port:
        driver = ModbusDriver(connection(port, device("house", *points)))
        async with driver.open():
            sample = await driver.poll("house")
    assert {name: reading.value for name, reading in sample.readings.items()} == {
        "valve": True,
        "door": True,
        "shut": False,
    }


async def test_a_refused_point_is_bad_and_the_others_are_good() -> None:
    points = [point("there", 0), point("missing", 500)]
    async with served(unit(1, registers(0, 42))) as port:
        driver = ModbusDriver(connection(port, device("bench", *points)))
        async with driver.open():
            sample = await driver.poll("bench")
    assert sample.readings == {
        "there": Reading(value=42.0, unit="Cel"),
        "missing": bad(Reason.COMM_ERROR, "Cel"),
    }


async def test_a_device_that_refuses_everything_is_no_reading() -> None:
    async with served(unit(1, registers(0, 42))) as port:
        driver = ModbusDriver(connection(port, device("bench", point("missing", 500))))
        async with driver.open():
            with pytest.raises(MalformedResponse, match="exception 2"):
                await driver.poll("bench")


async def test_points_refused_together_are_asked_for_one_by_one_from_then_on() -> None:
    asked: list[tuple[int, int]] = []

    async def refuse_blocks(
        _function: int, _start: int, address: int, count: int, _now: list[int], _new: object
    ) -> ExcCodes | None:
        asked.append((address, count))
        return ExcCodes.ILLEGAL_ADDRESS if count > 1 else None

    picky = SimDevice(1, simdata=[registers(0, 10, 11, 12)], action=refuse_blocks)
    points = [point("a", 0), point("b", 1), point("c", 2)]
    async with served(picky) as port:
        driver = ModbusDriver(connection(port, device("picky", *points)))
        async with driver.open():
            first, second = await driver.poll("picky"), await driver.poll("picky")
    assert first == second
    assert [reading.value for reading in first.readings.values()] == [10.0, 11.0, 12.0]
    assert asked == [(0, 3), (0, 1), (1, 1), (2, 1), (0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("code", [ExcCodes.GATEWAY_PATH_UNAVIABLE, ExcCodes.GATEWAY_NO_RESPONSE])
async def test_a_gateway_that_has_no_answer_is_an_unreachable_device(code: ExcCodes) -> None:
    async def refuse(*_request: object) -> ExcCodes:
        return code

    async with served(SimDevice(1, simdata=[registers(0, 1)], action=refuse)) as port:
        driver = ModbusDriver(connection(port, device("bench", point("t"))))
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await driver.poll("bench")


async def test_a_busy_device_gives_no_value() -> None:
    async def busy(*_request: object) -> ExcCodes:
        return ExcCodes.DEVICE_BUSY

    async with served(SimDevice(1, simdata=[registers(0, 1)], action=busy)) as port:
        driver = ModbusDriver(connection(port, device("bench", point("t"))))
        async with driver.open():
            with pytest.raises(MalformedResponse, match="exception 6"):
                await driver.poll("bench")


async def test_a_sentinel_is_bad_beside_good_points() -> None:
    points = [point("fault", 0, invalid_raw=(0xFFFF,)), point("fine", 1)]
    async with served(unit(1, registers(0, 0xFFFF, 5))) as port:
        driver = ModbusDriver(connection(port, device("bench", *points)))
        async with driver.open():
            readings = (await driver.poll("bench")).readings
    assert readings["fault"] == bad(Reason.SENSOR_FAULT, "Cel")
    assert readings["fine"].quality is Quality.GOOD


async def test_a_host_that_is_not_there_is_a_lost_connection_and_can_be_opened_later() -> None:
    async with served(unit(1, registers(0, 42))) as port:
        pass
    driver = ModbusDriver(connection(port, device("bench", point("t"))))
    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}"):
        async with driver.open():
            pass
    server = ModbusTcpServer(unit(1, registers(0, 42)), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    async with driver.open():
        assert (await driver.poll("bench")).readings["t"].value == 42.0
    await server.shutdown()  # type: ignore[no-untyped-call]


async def test_a_name_that_does_not_resolve_is_a_lost_connection() -> None:
    settings = connection(1, device("bench", point("t")))
    object.__setattr__(settings.options, "host", "no-such-host.invalid")
    with pytest.raises(ConnectionLost, match="no-such-host"):
        async with ModbusDriver(settings).open():
            pass


async def test_a_poll_without_an_open_connection_says_so() -> None:
    driver = ModbusDriver(connection(1, device("bench", point("t"))))
    with pytest.raises(ConnectionLost, match="not open"):
        await driver.poll("bench")


def test_the_registry_makes_this_driver() -> None:
    settings = connection(1, device("bench", point("t")))
    driver = drivers.driver_kind("modbus").create(settings, DriverContext())
    assert isinstance(driver, ModbusDriver)
    assert isinstance(driver, PolledDriver)
