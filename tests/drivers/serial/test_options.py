import subprocess
import sys
from typing import Any

import pytest

from drivers.serial import KIND
from drivers.serial.options import Compensation, SerialConnectionOptions, SerialDeviceOptions, SerialPointOptions
from edge.domain.settings import DeviceSettings
from fakes.serial_site import connection, device, ezo, point

WATER = Compensation(device="tank", point="water")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"serial_port": " "}, "serial_port is empty"),
        ({"baud_rate": 10}, "baud_rate is 10"),
        ({"format": "8X1"}, "format is '8X1'"),
        ({"response_timeout_ms": 0}, "response_timeout_ms is 0"),
        ({"quiet_ms": -1}, "quiet_ms is -1"),
        ({"settle_ms": 60_001}, "settle_ms is 60001"),
    ],
)
def test_a_port_that_cannot_be_is_told(options: dict[str, Any], sentence: str) -> None:
    (mistake,) = SerialConnectionOptions(**({"serial_port": "/dev/ttyS0"} | options)).mistakes()
    assert mistake.startswith(sentence)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ask": "{adress}R0\r"}, "ask holds {adress}; there are {address} and {compensation}"),
        ({"ask": "{address}R0\r"}, "address is missing"),
        ({"ask": "R\u20ac"}, "ask holds a character that is no byte"),
        ({"ask": "R\r", "setup": ("T,{compensation}\r",)}, "setup cannot hold {compensation}"),
        ({"ask": "R\r", "setup": ("",)}, "setup holds an empty line"),
        ({"ask": "R\r", "compensation": WATER}, "compensation is given, but"),
        (
            {"ask": "RT,{compensation}\r", "compensation": Compensation(device="t", point="w", max_age_s=0)},
            "compensation.max_age_s is 0",
        ),
        ({"decoder": "sdi12"}, "address is ''"),
        ({"decoder": "sdi12", "address": "12"}, "address is '12'"),
        ({"decoder": "sdi12", "address": "0", "ask": "0M!"}, "ask and setup stay empty"),
        ({"decoder": "sdi12", "address": "0", "command": "M0"}, "command is 'M0'"),
        ({"decoder": "sdi12", "address": "0", "command": "D0"}, "command is 'D0'"),
        ({"terminator": ""}, "terminator is empty"),
        ({"separator": ""}, "separator is empty"),
        ({"layout": "regex", "pattern": "("}, "pattern is no regular expression"),
        ({"layout": "regex", "pattern": "[0-9]+"}, "pattern names no field"),
        ({"request_gap_ms": -1}, "request_gap_ms is -1"),
        ({"response_timeout_ms": 60_001}, "response_timeout_ms is 60001"),
        ({"setup_pause_ms": -1}, "setup_pause_ms is -1"),
        ({"discard_frames": 101}, "discard_frames is 101"),
    ],
)
def test_a_device_that_cannot_be_is_told(options: dict[str, Any], sentence: str) -> None:
    (mistake,) = SerialDeviceOptions(**({"decoder": "lines"} | options)).mistakes()
    assert mistake.startswith(sentence)


@pytest.mark.parametrize(
    "options",
    [
        {"decoder": "lines", "ask": '{"cmd": "read"}\n'},
        {"decoder": "lines", "ask": "\u00ff\u0001", "layout": "regex", "pattern": "(?P<a>[0-9]+)"},
        {"decoder": "ezo", "ask": "RT,{compensation}\r"},
        {"decoder": "ezo", "ask": "RT,{compensation}\r", "compensation": WATER},
        {"decoder": "wxt", "ask": "{address}R0\r\n", "address": "0"},
        *(
            {"decoder": "sdi12", "address": "z", "command": name}
            for name in ("M", "M9", "MC", "C1", "CC9", "R0", "RC3")
        ),
        {"decoder": "sdi12", "address": "?"},
        {"decoder": "mhz19"},
    ],
)
def test_a_device_that_can_be_is_left_in_peace(options: dict[str, Any]) -> None:
    assert not SerialDeviceOptions(**options).mistakes()


def test_only_what_has_no_question_speaks_by_itself() -> None:
    asked = [SerialDeviceOptions(decoder="ezo", ask="R\r"), SerialDeviceOptions(decoder="mhz19")]
    assert all(options.is_asked for options in asked)
    assert not SerialDeviceOptions(decoder="ezo").is_asked


def test_a_point_is_named_by_its_field_or_its_id() -> None:
    assert not SerialPointOptions(field=0).mistakes()
    assert SerialPointOptions(field=-1).mistakes() == ["field is negative; fields are counted from 0"]
    assert SerialPointOptions(scale=0).mistakes() == ["scale is 0; it must be a number other than 0"]


def sensor(device_id: str, **options: Any) -> DeviceSettings:
    return device(device_id, point("a", 0), **({"decoder": "sdi12", "address": "0"} | options))


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ((ezo(),), {}),
        ((device("scale", point("weight"), decoder="scale"),), {}),
        ((sensor("a"), sensor("b", address="1"), sensor("c", command="M1")), {}),
        ((sensor("a", address="?"),), {}),
        ((ezo(), device("scale", point("weight"), decoder="scale")), {"scale": "needs a port of its own"}),
        ((sensor("a"), sensor("b")), {"b": "address '0' with command M is already a"}),
        ((sensor("a", address="?"), sensor("b")), {"a": 'address "?" means any sensor'}),
    ],
)
def test_devices_that_cannot_share_a_port_are_told(
    devices: tuple[DeviceSettings, ...], expected: dict[str, str]
) -> None:
    found = dict(KIND.mistakes(connection("port", *devices)))
    assert found.keys() == expected.keys()
    assert all(sentence in found[name] for name, sentence in expected.items())


def test_a_missing_compensation_is_worth_a_caution() -> None:
    without = ezo(ask="RT,{compensation}\r")
    ((name, sentence),) = KIND.cautions(connection("port", without))
    assert name == "ezo"
    assert "uncertain" in sentence
    assert not list(KIND.cautions(connection("port", ezo(ask="RT,{compensation}\r", compensation=WATER), sensor("a"))))


def test_reading_a_site_file_loads_no_transport() -> None:
    code = "import drivers.serial, sys; sys.exit('serial' in sys.modules or 'asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
