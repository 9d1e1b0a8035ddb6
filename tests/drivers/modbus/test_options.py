import pytest

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, SetupWrite, Transport


def test_a_host_is_enough() -> None:
    assert ModbusConnectionOptions(host="plc1.local").mistakes() == []
    assert ModbusConnectionOptions(host="192.168.1.5").mistakes() == []
    assert ModbusConnectionOptions(host="fe80::1%eth0").mistakes() == []
    assert ModbusDeviceOptions().mistakes() == []


@pytest.mark.parametrize(
    "host",
    [
        "",
        "  ",
        "a..b",
        "x" * 70,
        "two words",
        "https://plc 1",
        "https://plc",
        "10.0.0.1:502",
        "plc:502",
        "[fe80::1]",
        "[fe80::1]:502",
        "plc/1",
        "tcp://10.0.0.1",
    ],
)
def test_a_host_that_cannot_be_looked_up_is_a_mistake(host: str) -> None:
    (mistake,) = ModbusConnectionOptions(host=host).mistakes()
    assert mistake.startswith("host is ")


def test_a_serial_line_needs_its_port_and_no_host() -> None:
    port = "/dev/serial/by-id/usb-FTDI"
    assert ModbusConnectionOptions(transport="serial", serial_port=port, baud_rate=19200, format="8E1").mistakes() == []
    wrong = ModbusConnectionOptions(
        transport="serial", host="plc", tcp_port=4001, serial_port="ttyUSB0", baud_rate=9, format="7E1"
    )
    assert wrong.mistakes() == [
        'host is no key of transport "serial"; it has serial_port, baud_rate and format',
        'tcp_port is no key of transport "serial"; it has serial_port, baud_rate and format',
        "serial_port is 'ttyUSB0'; write the whole path, like /dev/serial/by-id/usb-…",
        "baud_rate is 9; it must be from 50 to 4000000",
        "format is '7E1'; Modbus RTU needs 8 data bits",
    ]
    (missing,) = ModbusConnectionOptions(transport="serial").mistakes()
    assert missing.startswith("serial_port is missing")
    (unknown,) = ModbusConnectionOptions(transport="serial", serial_port=port, format="8X1").mistakes()
    assert unknown.startswith("format is '8X1'")


@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
def test_a_host_has_no_serial_port(transport: Transport) -> None:
    assert ModbusConnectionOptions(transport=transport, host="plc").mistakes() == []
    wrong = ModbusConnectionOptions(transport=transport, serial_port="/dev/ttyS0", baud_rate=19200, format="8E1")
    assert [mistake.split(" ")[0] for mistake in wrong.mistakes()] == ["serial_port", "baud_rate", "format", "host"]


SETUPS = {
    "address is missing": SetupWrite(value=1),
    "give either value or values": SetupWrite(address=1),
    "give either": SetupWrite(address=1, value=1, values=(1,)),
    "70000 does not fit into a register": SetupWrite(address=1, value=70_000),
    "address is 65535": SetupWrite(address=65_535, values=(1, 2)),
    "values are 124": SetupWrite(address=0, values=(1,) * 124),
    "frame is 'xyz'": SetupWrite(frame="xyz"),
    "frame is ''": SetupWrite(frame=""),
    "frame is '83 00'": SetupWrite(frame="83 00"),
    "a frame holds everything": SetupWrite(frame="06 00 01 00 02", address=1),
    "pause_ms is -1": SetupWrite(address=1, value=1, pause_ms=-1),
}


@pytest.mark.parametrize("sentence", SETUPS)
def test_a_setup_that_cannot_be_written_is_a_mistake_of_the_device(sentence: str) -> None:
    good = SetupWrite(address=49_999, value=1084)
    (mistake,) = ModbusDeviceOptions(setup=(good, SETUPS[sentence])).mistakes()
    assert mistake.startswith(f"setup, write 2: {sentence}")


def test_setups_of_real_devices_are_the_requests_of_their_manuals() -> None:
    writes = {
        # Danfoss FC51; Yosemitech Y520, which has to be started by a write of no registers; a relay.
        SetupWrite(address=49_999, value=1084): "06c34f043c",
        SetupWrite(frame="10 1C 00 00 00 00", pause_ms=2300): "101c00000000",
        SetupWrite(table="coil", address=3, value=1): "050003ff00",
        SetupWrite(table="coil", address=3, values=(1, 0, 1)): "0f0003000301" + "05",
        SetupWrite(address=3, values=(-1,)): "100003000102" + "ffff",
    }
    for write, pdu in writes.items():
        assert not write.mistakes()
        assert write.question(7).pdu.hex() == pdu
        assert write.question(7).unit == 7


def test_too_many_writes_are_a_mistake() -> None:
    (mistake,) = ModbusDeviceOptions(setup=(SetupWrite(address=1, value=1),) * 33).mistakes()
    assert mistake == "setup has 33 writes; 32 are the most"


def test_all_mistakes_are_told_at_once_and_each_begins_with_its_key() -> None:
    options = ModbusConnectionOptions(
        host="plc", tcp_port=0, connect_timeout_ms=0, response_timeout_ms=60_001, request_gap_ms=-1, quiet_ms=-1
    )
    assert [mistake.split(" ")[0] for mistake in options.mistakes()] == [
        "tcp_port",
        "connect_timeout_ms",
        "response_timeout_ms",
        "request_gap_ms",
        "quiet_ms",
    ]
    device = ModbusDeviceOptions(address=256, registers_max=126, hole_max=-1, request_gap_ms=-1, response_timeout_ms=0)
    assert [mistake.split(" ")[0] for mistake in device.mistakes()] == [
        "address",
        "registers_max",
        "hole_max",
        "request_gap_ms",
        "response_timeout_ms",
    ]
