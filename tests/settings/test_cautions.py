from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from edge.domain.driver import DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings
from edge.settings.site import SiteReader

Warn = Callable[..., list[str]]

SECOND = """
  [[connection.device]]
  id = "second"
  profile = "clima"
  address = 4
"""


@pytest.fixture
def warn(tmp_path: Path, site_text: str, profile_text: str) -> Warn:
    """The warnings of SITE with `old` replaced by `new` and something added at its end."""

    def warned(old: str = "", new: str = "", *, added: str = "") -> list[str]:
        assert old in site_text
        (tmp_path / "clima.toml").write_text(profile_text)
        (tmp_path / "site.toml").write_text((site_text.replace(old, new) if old else site_text) + added)
        reader = SiteReader(tmp_path / "site.toml")
        reader.read()
        return [str(caution).partition("site.toml:")[2] for caution in reader.cautions]

    return warned


def test_a_good_site_file_gives_no_warning(warn: Warn) -> None:
    assert warn() == []
    assert warn(added=SECOND) == []


@pytest.mark.parametrize("address", [0, 254, 255])
def test_an_address_that_others_answer_is_warned_of_beside_others(warn: Warn, address: int) -> None:
    changed = SECOND.replace("address = 4", f"address = {address}")
    assert warn("address = 3", f"address = {address}") == []
    assert warn(added=changed) == [
        f"28:3: connection[0].device[1].address: second has address {address}, which other devices may answer or obey, too"
    ]


def test_an_address_of_two_devices_is_warned_of_at_both(warn: Warn) -> None:
    found = warn(added=SECOND.replace("address = 4", "address = 3"))
    assert [line.partition(": ")[0] for line in found] == ["19:3", "28:3"]


def test_limits_that_do_not_hold_the_own_value_are_warned_of(warn: Warn) -> None:
    place = "23:16: connection[0].device[0].point.air_temperature.remote.offset"
    assert warn("offset = -0.2", "offset = -3") == [f"{place}: the site file's own offset, -3, is not from -2 to 2"]
    assert "poll_interval_s, 4000" in warn("poll_interval_s = 5", "poll_interval_s = 4000")[0]


def test_a_ca_file_that_is_not_there_is_warned_of_and_sought_from_the_site_file(warn: Warn, tmp_path: Path) -> None:
    assert "there is no file" in warn("[event_store]", '[event_store]\nca_file = "ca.pem"')[0]
    (tmp_path / "ca.pem").write_text("a certificate")
    assert warn("[event_store]", '[event_store]\nca_file = "ca.pem"') == []


def test_a_credential_over_plain_text_is_warned_of(warn: Warn) -> None:
    assert "unencrypted" in warn("[event_store]", '[event_store]\ncredential = "event-store"')[0]


def test_a_stream_that_two_gateways_would_share_is_warned_of(warn: Warn) -> None:
    template = '[streams]\nsensor_readings = "readings-{device}"\n[event_store]'
    assert "a second gateway would write into the same stream" in warn("[event_store]", template)[0]


def test_a_site_without_devices_is_warned_of(warn: Warn, site_text: str) -> None:
    assert "nothing will be measured" in warn(site_text[site_text.index("[[connection]]") :])[0]


def test_a_connection_without_devices_waits_for_a_scan(warn: Warn) -> None:
    found = warn(added='\n[[connection]]\nid = "new"\ndriver = "modbus"\nhost = "h"\n')
    assert any("connection[1]: the connection has no devices: scan it" in line for line in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLine:
    """A driver's options of a serial line."""

    serial_port: str
    baud_rate: int = 9600


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No options."""


def serial_kind(name: str) -> DriverKind:
    def create(_: ConnectionSettings, __: DriverContext) -> NoReturn:
        raise AssertionError

    return DriverKind(
        name=name,
        title="A serial line",
        connection_options=SerialLine,
        device_options=Nothing,
        point_options=Nothing,
        create=create,
    )


SERIAL = """[site]
id = "a"
[event_store]
uri = "esdb://x?tls=false"
[[connection]]
id = "c"
driver = "serial"
serial_port = "%s"
baud_rate = %d
[[connection.device]]
id = "d"
profile = "clima"
"""
SERIAL_PROFILE = """[profile]
id = "clima"
version = 1
driver = "serial"
title = "t"
source = "s"
[defaults]
baud_rate = 4800
[point.ph]
"""


@pytest.mark.parametrize(
    ("port", "baud_rate", "expected"),
    [
        ("/dev/serial/by-id/usb-FTDI", 4800, []),
        ("/dev/serial/by-id/usb-FTDI", 9600, ["12:1: connection[0].device[0].profile: d leaves the factory with baud"]),
        ("/dev/ttyUSB0", 4800, ["8:1: connection[0].serial_port: /dev/ttyUSB0 may be another port after a restart"]),
    ],
)
def test_a_line_that_differs_from_the_factorys_or_changes_its_name_is_warned_of(
    tmp_path: Path, port: str, baud_rate: int, expected: list[str]
) -> None:
    (tmp_path / "clima.toml").write_text(SERIAL_PROFILE)
    (tmp_path / "site.toml").write_text(SERIAL % (port, baud_rate))
    reader = SiteReader(tmp_path / "site.toml", serial_kind)
    reader.read()
    found = [str(caution).partition("site.toml:")[2] for caution in reader.cautions]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found
