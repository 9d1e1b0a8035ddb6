from dataclasses import replace

import pytest

from drivers import driver_kind
from drivers.decoders.modbus_point import StatusRule
from drivers.modbus.line_time import bus_load
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from edge.domain.settings import ConnectionSettings, DeviceSettings
from fakes.modbus_site import device, on_line, point

# 1 ms a character: 10 bits each.
LINE = ModbusConnectionOptions(transport="serial", serial_port="/dev/ttyS0", baud_rate=10_000, format="8N1")


def asked_each_second(*devices: DeviceSettings, options: ModbusConnectionOptions = LINE) -> ConnectionSettings:
    return on_line(options, *(replace(each, poll_interval_s=1.0) for each in devices))


def test_the_load_is_the_time_of_frames_gaps_and_turnarounds_by_the_interval() -> None:
    # 8 characters, then 5 and 2 for each register; 10 ms to think, 3.5 characters of silence.
    one = asked_each_second(device("a", point("x", 0), point("y", 1)))
    assert bus_load(one) == pytest.approx(0.008 + 0.009 + 0.010 + 0.0035)
    seldom = on_line(LINE, replace(one.devices[0], poll_interval_s=10.0))
    assert bus_load(seldom) == pytest.approx(0.00305)


def test_each_request_of_each_device_that_is_asked_counts() -> None:
    far = device("far", point("x", 0), point("y", 50), options=ModbusDeviceOptions(request_gap_ms=50))
    off = replace(device("off", point("x", 0)), enabled=False)
    assert bus_load(asked_each_second(far, off)) == pytest.approx(2 * (0.008 + 0.007 + 0.010 + 0.050))
    assert bus_load(asked_each_second(far, device("near", point("x", 0)))) > bus_load(asked_each_second(far))


def test_a_line_that_is_too_busy_is_warned_of() -> None:
    devices = [device(f"d{number}", point("x", 0)) for number in range(31)]
    ((device_id, sentence),) = driver_kind("modbus").cautions(asked_each_second(*devices))
    assert device_id == ""
    assert sentence.startswith("the line is in use 88 % of the time at 10000 baud; over 70 % values come late")
    assert list(driver_kind("modbus").cautions(asked_each_second(*devices[:20]))) == []
    tcp = ModbusConnectionOptions(host="plc")
    assert list(driver_kind("modbus").cautions(asked_each_second(*devices, options=tcp))) == []


def test_a_status_rule_for_a_point_that_is_not_there_is_a_mistake_of_its_device() -> None:
    status = point("status", 0, bad_when_bits=StatusRule(mask=1, points=("co2",)))
    ((device_id, sentence),) = driver_kind("modbus").mistakes(on_line(LINE, device("probe", status)))
    assert device_id == "probe"
    assert "co2" in sentence
