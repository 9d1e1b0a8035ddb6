"""How a person names a connection on the first day, and the hooks that are loaded when they are called."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import drivers.modbus.by_hand
import drivers.modbus.scan
import drivers.modbus.simulate
import drivers.mqtt.by_hand
import drivers.mqtt.scan
import drivers.mqtt.simulate
import drivers.serial.by_hand
import drivers.serial.scan
import drivers.serial.simulate
from drivers import first_day
from drivers.first_day import Decoding, Searching, Simulating
from drivers.modbus.first_day import modbus_host, modbus_port
from drivers.mqtt.first_day import broker
from drivers.serial.first_day import serial_port

# mypy looks at the types of what these files have.
SEARCHING: Sequence[Searching] = (drivers.modbus.scan, drivers.mqtt.scan, drivers.serial.scan)
DECODING: Sequence[Decoding] = (drivers.modbus.by_hand, drivers.mqtt.by_hand, drivers.serial.by_hand)
SIMULATING: Sequence[Simulating] = (drivers.modbus.simulate, drivers.mqtt.simulate, drivers.serial.simulate)


def test_a_port_gets_the_name_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, folder = tmp_path / "ttyUSB0", tmp_path / "by-id"
    port.touch()
    folder.mkdir()
    (folder / "usb-FTDI_1").symlink_to(port)
    monkeypatch.setattr(first_day, "BY_ID", folder)
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


def test_the_files_of_a_driver_have_what_its_hooks_call() -> None:
    assert [callable(file.scan) for file in SEARCHING] == [True] * 3
    assert [callable(file.decode) for file in DECODING] == [True] * 3
    assert [callable(file.simulate) for file in SIMULATING] == [True] * 3


@pytest.mark.parametrize("name", ["modbus", "mqtt", "serial"])
def test_a_hook_loads_its_own_file_and_no_other(name: str) -> None:
    code = f"""
import sys, drivers
from edge.domain.by_hand import Given, Undecodable
from edge.settings.specimen import load_specimens
from pathlib import Path
specimen = load_specimens("{name}", Path())[0]
try:
    specimen.kind.decode(specimen.device, Given(line="x"))
except Undecodable:
    pass
print(*sorted(file for file in ("scan", "by_hand", "simulate") if f"drivers.{name}.{{file}}" in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "by_hand\n"
