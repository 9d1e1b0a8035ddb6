"""Our Modbus driver against a server by libmodbus: what we think of registers, bytes and bits, others think as well."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.domain.driver import ConnectionLost, DeviceUnreachable
from edge.domain.reading import Reason, Sample, bad
from fakes.libmodbus_server import (
    BITS,
    FIRST,
    NOTHING_ADDRESS,
    NUMBERS,
    ORDERS,
    REGISTERS,
    STATUS_ADDRESS,
    TEXT,
    TEXT_ADDRESS,
    UNIT,
    LibmodbusServer,
    libmodbus_server,
    number_address,
)
from fakes.peer_site import loaded, opened, read_only

# Both kinds of wire of one server at a time: they would fight for a core.
pytestmark = pytest.mark.xdist_group("modbus peers")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A server, and the beginning of a site file that knows it."""

    server: LibmodbusServer
    connection: str
    folder: Path

    async def poll(self, device: str, *, times: int = 1, unit: int = UNIT) -> Sample:
        """Read a device of the given keys and points; return its last sample."""
        text = f'{self.connection}[[connection.device]]\nid = "probe"\naddress = {unit}\n{device}'
        async with opened(loaded(self.folder, text)) as driver:
            for _ in range(times):
                sample = await driver.poll("probe")
        return sample


@pytest.fixture(params=["tcp", "rtu"])
def bench(request: pytest.FixtureRequest, libmodbus_program: Path, tmp_path: Path) -> Iterator[Bench]:
    head = '[[connection]]\nid = "wire"\ndriver = "modbus"\n'
    if request.param == "tcp":
        with libmodbus_server(libmodbus_program) as server:
            where = f'host = "127.0.0.1"\ntcp_port = {server.tcp_port}\n'
            yield Bench(server=server, connection=head + where, folder=tmp_path)
        return
    adapter = request.getfixturevalue("adapter")
    with libmodbus_server(libmodbus_program, adapter.far) as server:
        where = f'transport = "serial"\nserial_port = "{adapter.near}"\n'
        yield Bench(server=server, connection=head + where, folder=tmp_path)


def values(sample: Sample) -> dict[str, object]:
    assert all(reading.reason is None for reading in sample.readings.values()), sample
    return {point_id: reading.value for point_id, reading in sample.readings.items()}


@pytest.mark.parametrize("table", ["input", "holding"])
async def test_every_type_in_every_order_is_what_the_server_holds(bench: Bench, table: str) -> None:
    points = [
        read_only(
            f"{number_type}_{order.lower()}",
            f'table = "{table}"\naddress = {number_address(number_type, order)}\n'
            f'type = "{number_type}"\nword_order = "{order}"',
        )
        for number_type in NUMBERS
        for order in ORDERS
    ]
    sample = await bench.poll("hole_max = 15\n" + "".join(points))
    assert values(sample) == {
        f"{number_type}_{order.lower()}": value for number_type, value in NUMBERS.items() for order in ORDERS
    }
    assert len(bench.server.requests) == 2


async def test_all_bits_of_both_bit_tables_are_what_the_server_holds(bench: Bench) -> None:
    points = [
        read_only(f"{table}_{address}", f'table = "{table}"\naddress = {address}\ntype = "bool"')
        for table in ("coil", "discrete")
        for address in range(BITS)
    ]
    sample = await bench.poll("".join(points))
    assert values(sample) == {
        **{f"coil_{address}": address % 3 == 1 for address in range(BITS)},
        **{f"discrete_{address}": address % 2 == 0 for address in range(BITS)},
    }


async def test_texts_parts_of_a_register_and_what_is_not_there_are_told_apart(bench: Bench) -> None:
    status = f'table = "input"\naddress = {STATUS_ADDRESS}\ntype = "uint16"\n'
    points = (
        read_only("model", f'table = "input"\naddress = {TEXT_ADDRESS}\ntype = "string"\nregisters = 6'),
        read_only("mode", status + 'bits = [4, 4]\nmap = { "5" = "heating", "6" = "venting" }'),
        read_only("gear", status + "bits = [8, 4]"),
        read_only("is_open", status + "bits = [2, 1]"),
        read_only("is_locked", status + "bits = [0, 1]"),
        read_only("probe", f'table = "input"\naddress = {NOTHING_ADDRESS}\ntype = "int16"\ninvalid_raw = [0x7FFF]'),
    )
    readings = dict((await bench.poll("".join(points))).readings)
    assert readings.pop("probe") == bad(Reason.SENSOR_FAULT, None)
    assert {point_id: reading.value for point_id, reading in readings.items()} == {
        "model": TEXT,
        "mode": "heating",
        "gear": 10.0,
        "is_open": True,
        "is_locked": False,
    }


async def test_an_address_that_the_server_refuses_costs_its_neighbour_nothing_and_is_remembered(bench: Bench) -> None:
    last = FIRST + REGISTERS - 1
    points = [
        read_only(name, f'table = "holding"\naddress = {address}\ntype = "uint16"')
        for name, address in (("last", last), ("beyond", last + 1))
    ]
    readings = (await bench.poll("".join(points), times=2)).readings
    assert readings["last"].value == 0.0
    assert readings["beyond"] == bad(Reason.COMM_ERROR, None)
    together, alone, beyond = (
        f"{UNIT:02x}03{last:04x}0002",
        f"{UNIT:02x}03{last:04x}0001",
        f"{UNIT:02x}03{last + 1:04x}0001",
    )
    assert bench.server.requests == [together, alone, beyond, alone, beyond]


async def test_what_setup_writes_stands_in_the_server_before_it_is_read(bench: Bench) -> None:
    device = (
        "setup = [\n"
        "  { address = 1200, value = 0xBEEF }, { address = 1201, value = -2 }, { address = 1202, values = [1, 2, 3] },\n"
        '  { table = "coil", address = 3, value = 1 }, { table = "coil", address = 4, values = [0, 1, 1] },\n'
        '  { frame = "10 04 B5 00 01 02 00 2A" },\n'
        "]\n"
    )
    registers = [
        read_only(f"r{address}", f'table = "holding"\naddress = {address}\ntype = "uint16"')
        for address in range(1200, 1206)
    ]
    coils = [read_only(f"c{address}", f'table = "coil"\naddress = {address}\ntype = "bool"') for address in range(3, 7)]
    sample = await bench.poll(device + "".join((*registers, *coils)), times=2)
    assert list(values(sample).values()) == [0xBEEF, 0xFFFE, 1, 2, 3, 42, True, False, True, True]
    # Once, not with every poll; on RTU perhaps a read before, which finds out whether the line has an echo.
    writes = [request[2:] for request in bench.server.requests if int(request[2:4], 16) >= 5]
    assert writes == [
        "0604b0beef",
        "0604b1fffe",
        "1004b2000306000100020003",
        "050003ff00",
        "0f000400030106",
        "1004b5000102002a",
    ]


async def test_a_server_that_dies_is_noticed_and_one_that_comes_back_is_used(
    libmodbus_program: Path, tmp_path: Path
) -> None:
    point = read_only("first", f'table = "input"\naddress = {FIRST}\ntype = "int16"')
    with libmodbus_server(libmodbus_program) as server:
        port = server.tcp_port
        connection = f'[[connection]]\nid = "wire"\ndriver = "modbus"\nhost = "127.0.0.1"\ntcp_port = {port}\n'
        settings = loaded(tmp_path, f'{connection}[[connection.device]]\nid = "probe"\naddress = {UNIT}\n{point}')
        async with opened(settings) as driver:
            assert (await driver.poll("probe")).readings["first"].value == NUMBERS["int16"]
            server.kill()
            with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}"):
                await driver.poll("probe")
    with libmodbus_server(libmodbus_program, tcp_port=port):
        async with opened(settings) as driver:
            assert (await driver.poll("probe")).readings["first"].value == NUMBERS["int16"]


# Over TCP libmodbus answers to any unit.
@pytest.mark.parametrize("bench", ["rtu"], indirect=True)
async def test_another_units_address_is_answered_by_nobody_on_the_line(bench: Bench) -> None:
    point = read_only("first", f'table = "input"\naddress = {FIRST}\ntype = "int16"')
    with pytest.raises(DeviceUnreachable, match=f"unit {UNIT + 1} "):
        await bench.poll(f"response_timeout_ms = 100\n{point}", unit=UNIT + 1)
