import pytest

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions


def test_a_host_is_enough() -> None:
    assert ModbusConnectionOptions(host="plc1.local").mistakes() == []
    assert ModbusConnectionOptions(host="192.168.1.5").mistakes() == []
    assert ModbusConnectionOptions(host="fe80::1%eth0").mistakes() == []
    assert ModbusDeviceOptions().mistakes() == []


@pytest.mark.parametrize("host", ["", "  ", "a..b", "x" * 70, "two words", "https://plc 1"])
def test_a_host_that_cannot_be_looked_up_is_a_mistake(host: str) -> None:
    (mistake,) = ModbusConnectionOptions(host=host).mistakes()
    assert mistake.startswith("host is ")


@pytest.mark.parametrize("transport", ["serial", "rtu_over_tcp"])
def test_a_transport_of_a_later_version_is_said_to_be_one(transport: str) -> None:
    options = ModbusConnectionOptions(transport=transport, host="plc")  # type: ignore[arg-type]
    assert options.mistakes() == [f'transport "{transport}" comes with a later version; this one speaks "tcp"']


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
