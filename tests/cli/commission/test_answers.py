from pathlib import Path

import pytest

from edge.cli.commission import answers


def test_a_port_gets_the_name_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, folder = tmp_path / "ttyUSB0", tmp_path / "by-id"
    port.touch()
    folder.mkdir()
    (folder / "usb-FTDI_1").symlink_to(port)
    monkeypatch.setattr(answers, "BY_ID", folder)
    assert answers.serial_port(str(port)).serial_port == str(folder / "usb-FTDI_1")
    assert answers.modbus_port(f"{folder}/usb-FTDI_1@19200").serial_port == str(folder / "usb-FTDI_1")
    assert answers.serial_port("/dev/other").serial_port == "/dev/other"


def test_the_machines_time_zone_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "localtime"
    monkeypatch.setattr(answers, "LOCAL_TIME", link)
    assert answers.local_time_zone() == "UTC"
    for target, zone in (("Europe/Amsterdam", "Europe/Amsterdam"), ("Etc/UTC", "UTC"), ("No/Where", "UTC")):
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/share/zoneinfo/{target}")
        assert answers.local_time_zone() == zone


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.0.0.1", "10.0.0.1", 502), ("plc.local:5020", "plc.local", 5020), ("[fe80::1]:502", "fe80::1", 502)],
)
def test_a_host_may_have_a_port(text: str, host: str, port: int) -> None:
    options = answers.modbus_host(text)
    assert (options.transport, options.host, options.tcp_port) == ("tcp", host, port)
    assert answers.modbus_host(text, is_rtu=True).transport == "rtu_over_tcp"


def test_a_broker_may_be_a_bare_name() -> None:
    assert answers.broker("broker.local").url == "mqtt://broker.local"
    assert answers.broker("mqtts://b:8883", "me").credential == "me"


@pytest.mark.parametrize(("name", "site_id"), [("North House", "north-house"), ("°", ""), ("x" * 100, "x" * 64)])
def test_an_id_is_suggested_from_a_name(name: str, site_id: str) -> None:
    assert answers.suggested_id(name) == site_id
