"""How a person names a connection on the first day."""

from pathlib import Path

import pytest

from drivers import named_line
from drivers.modbus.first_day import modbus_host, modbus_port
from drivers.mqtt.first_day import broker
from drivers.serial.first_day import serial_port


def test_a_port_gets_the_name_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, folder = tmp_path / "ttyUSB0", tmp_path / "by-id"
    port.touch()
    folder.mkdir()
    (folder / "usb-FTDI_1").symlink_to(port)
    monkeypatch.setattr(named_line, "BY_ID", folder)
    assert serial_port(str(port)).serial_port == str(folder / "usb-FTDI_1")
    assert modbus_port(f"{folder}/usb-FTDI_1@19200").serial_port == str(folder / "usb-FTDI_1")
    assert serial_port("/dev/other").serial_port == "/dev/other"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.0.0.1", "10.0.0.1", 502), ("plc.local:5020", "plc.local", 5020), ("[fe80::1]:502", "fe80::1", 502)],
)
def test_a_host_may_have_a_port(text: str, host: str, port: int) -> None:
    options = modbus_host(text)
    assert (options.transport, options.host, options.tcp_port) == ("tcp", host, port)
    assert modbus_host(text, is_rtu=True).transport == "rtu_over_tcp"


def test_a_broker_may_be_a_bare_name() -> None:
    assert broker("broker.local").url == "mqtt://broker.local"
    assert broker("mqtts://b:8883").url == "mqtts://b:8883"
