"""Mistakes across tables and files: all of them, in one run, each where it stands."""

import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from drivers import DriverUnknown
from edge.domain.driver import DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings, Settings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings

Load = Callable[..., Settings]
Mistakes = Callable[..., list[str]]
DEVICE = "connection[0].device[0]"
POINT = f"{DEVICE}.point.air_temperature"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("offset = -0.2", "gain = 0", f"22:5: {POINT}.gain: gain is 0: every value would be the same"),
        ("offset = -0.2", "deadband = -1", f"22:5: {POINT}.deadband: deadband is -1; it must be 0 (report everything)"),
        ("offset = -0.2", "range = [5, 5]", f"22:5: {POINT}.range: range must be two numbers, the lower first"),
        ("offset = -0.2", "range = [5]", f"22:5: {POINT}.range"),
        ("offset = -0.2", "max_silence_s = 0", f"22:5: {POINT}.max_silence_s: max_silence_s is 0; it must be from"),
        ("offset = -0.2", "offset = true", f"22:5: {POINT}.offset: must be a number"),
        ("offset = -0.2", 'publish = "no"', f"22:5: {POINT}.publish: must be true or false"),
        ("offset = -0.2", 'quantity = "air_temprature"', f"22:5: {POINT}.quantity: unknown quantity 'air_temprature'; did"),
        ("offset = -0.2", 'quantity = "warmth"', f"22:5: {POINT}.quantity: unknown quantity 'warmth'; one of your own is called x_"),
        ("offset = -0.2", 'quantity = "x_Stem"', f"22:5: {POINT}.quantity: 'x_Stem' is a quantity of your own: small letters"),
        ("offset = -0.2", 'quantity = "x_stem"\nunit = "µm"', f"22:5: {POINT}.quantity: 'x_stem' is a quantity of your own: small"),
        ("offset = -0.2", "kind = 'rate'", f"22:5: {POINT}.kind: must be 'gauge', 'counter' or 'state'"),
        ("offset = -0.2", "kind = 'counter'\n scale = 1.0\n raw_offset = 0\n map = { '1' = 'on' }", f"22:5: {POINT}.kind: kind is counter; a text or a switch is a state"),
        ("  address = 3", "  labels = { Crop = 'tomato' }", f"19:3: {DEVICE}.labels: labels has the name 'Crop'; write it with small"),
        ("  address = 3", "  labels = { crop = 7 }", f"19:14: {DEVICE}.labels.crop: must be text, in quotes"),
        ("  address = 3", f"  labels = {{ crop = '{'x' * 257}' }}", f"19:14: {DEVICE}.labels.crop: labels.crop has 257 characters; 256 are"),
        ("  address = 3", f"  serial_number = '{'x' * 257}'", f"19:3: {DEVICE}.serial_number: serial_number has 257 characters"),
        ("remote = { offset", "remote = { ofset", f"23:16: {POINT}.remote.ofset: unknown key"),
        ("{ offset = { min = -2", "{ gain = { min = 0", f"23:25: {POINT}.remote.gain.min: remote.gain.min is 0; it must"),
        ("{ min = 2, max", "{ min = 1, max", f"20:50: {DEVICE}.remote.poll_interval_s.min: remote.poll_interval_s.min is 1;"),
        ("  address = 3", "  max_silence_s = 4", f"19:3: {DEVICE}.max_silence_s: max_silence_s is 4; the device is asked"),
        ("poll_interval_s = 5", "poll_interval_s = 0", "13:1: connection[0].poll_interval_s: poll_interval_s is 0; it must be"),
        ('host = "127.0.0.1"', 'host = "tcp://a:b@c"', "11:1: connection[0].host: host must not hold user and password"),
        ("esdb://127.0.0.1:2113?tls=false", "esdb+discover://a?tls=false&nodePreference=follower", "6:1: event_store.uri: uri must not prefer another node"),
        ("esdb://127.0.0.1:2113?tls=false", "esdb://127.0.0.1:2113", "5:1: event_store: credential is missing: with TLS"),
        ("[event_store]", '[event_store]\ncredential = "../secret"', "6:1: event_store.credential: credential is '../secret'; name a cred"),
        ("[event_store]", '[event_store]\ncredential = ""', "6:1: event_store.credential: credential is ''; name a credential"),
        ("esdb://127.0.0.1:2113?tls=false", "kurrentdb+discover://a,b?tls=false", "6:1: event_store.uri: uri names several servers"),
        ('host = "127.0.0.1"', 'host = "127.0.0.1:502"', "11:1: connection[0].host: host is '127.0.0.1:502'; that is neither"),
        ('host = "127.0.0.1"', 'host = "127.0.0.1"\nbaud_rate = 19200', '12:1: connection[0].baud_rate: baud_rate is no key of transport "tcp"'),
        ("[[connection]]", "[connection]", "8:1: connection: must be an array of tables: [[connection]]"),
        ("device.point.air_temperature", "device.point.air_temprature", f"21:5: {DEVICE}.point.air_temprature: the profile 'clima' has no"),
        ("device.point.air_temperature", "device.point.dew_point", f"21:5: {DEVICE}.point.dew_point: the profile 'clima' has no point"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(mistakes: Mistakes, old: str, new: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in mistakes(old, new)), mistakes(old, new)


def test_the_mistakes_of_a_profile_do_not_hide_those_of_its_devices(mistakes: Mistakes, site_text: str) -> None:
    found = mistakes('type = "int16"', 'type = "int17"', site=site_text.replace("address = 3", "addres = 3"))
    assert len(found) == 2
    assert found[0].startswith("18:1: point.air_temperature.type: must be 'int16'")
    assert found[1].startswith(f"19:3: {DEVICE}.addres: unknown key 'addres'; did you mean 'address'?")


def test_a_profile_that_is_not_there_does_not_hide_the_other_mistakes(mistakes: Mistakes, site_text: str) -> None:
    found = mistakes('profile = "clima"', 'profile = "klima"', site=site_text.replace("offset = -0.2", "ofset = -0.2"))
    assert [line.partition(": ")[0] for line in found] == ["18:3", "22:5"]


def test_a_connection_with_a_mistake_does_not_hide_those_of_its_devices(mistakes: Mistakes, site_text: str) -> None:
    found = mistakes('id = "bench"\n', "", site=site_text.replace("address = 3", "address = 300"))
    assert found[0].startswith("8:1: connection[0]: id is required")
    assert found[1].startswith(f"18:3: {DEVICE}.address: address is 300;")


def test_a_wrong_type_does_not_hide_what_other_keys_of_the_table_say(mistakes: Mistakes, site_text: str) -> None:
    found = mistakes("tcp_port = 1502", 'tcp_port = 0\nquiet_ms = "50"', site=site_text)
    assert found == [
        "12:1: connection[0].tcp_port: tcp_port is 0; it must be from 1 to 65535",
        "13:1: connection[0].quiet_ms: must be a whole number",
    ]


def test_a_mistake_in_a_profile_of_many_devices_is_told_once(mistakes: Mistakes, site_text: str) -> None:
    second = site_text + '  [[connection.device]]\n  id = "second"\n  profile = "clima"\n'
    assert len(mistakes("scale = 0.1\noffset", "scale = 0\noffset", site=second)) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('id = "clima"', 'id = "klima"', "2:1: profile.id: id is 'klima'; it must be the file's name, 'clima'"),
        ('driver = "modbus"\ntitle', 'driver = "simulated"\ntitle', "4:1: profile.driver: the profile is for driver"),
        ("offset = 32", "raw_offset = 32", "20:1: point.air_temperature.raw_offset: raw_offset is called offset"),
        (
            "registers_max = 32",
            "registers_max = 32\naddress = 2",
            "15:1: read.address: address is there twice: also as",
        ),
        ("[read]", "[reed]", "13:1: reed: unknown key 'reed'; did you mean 'read'?"),
        ("[point.state]", "[point.State]", "29:1: point.State: 'State' is no id"),
        ("[read]", "[read", "13:6: is not TOML: "),
    ],
)
def test_a_mistake_in_a_profile_is_told_in_its_own_file(
    mistakes: Mistakes, site_text: str, old: str, new: str, expected: str
) -> None:
    found = mistakes(old, new, site=site_text)
    assert any(line.startswith(expected) for line in found), found


def test_streams_may_not_meet_once_the_ids_are_filled_in(mistakes: Mistakes, site_text: str) -> None:
    site = site_text.replace('id = "bench3-climate"', 'id = "north-1"')
    found = mistakes("[event_store]", '[streams]\nsensor_readings = "gateway-{device}"\n[event_store]', site=site)
    assert found == ["6:1: streams.sensor_readings: sensor_readings and gateway both name the stream 'gateway-north-1'"]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, site_text: str, profile_text: str) -> None:
    (tmp_path / "clima.toml").write_text(profile_text)
    (tmp_path / "site.toml").write_text(site_text, encoding="utf-8-sig")
    assert load_settings(tmp_path / "site.toml").site.id == "north-1"


def test_a_value_is_not_blamed_for_what_a_wrong_neighbour_left_out(file: Path) -> None:
    site = SITE.replace("foreign", "simulated").replace('url = "bus://x"\n', "")
    file.write_text(site.replace("{}", '{ start = -5, low = "ten below" }') % "")
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(file)
    assert str(caught.value) == f"{file}:11:26: connection[0].device[0].point.ph.low: must be a number"


def test_a_machine_without_time_zone_database_takes_any(load: Load) -> None:
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert load().site.time_zone == "Europe/Amsterdam"
    finally:
        zoneinfo.reset_tzpath()


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """A table in a table."""

    x: int
    kind: Literal["round", "sharp"] = "round"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignConnection:
    """As a third party writes it: without pydantic, without us."""

    url: str
    corners: tuple[Corner, ...] = ()
    choice: int | Literal["auto"] = "auto"

    def mistakes(self) -> Sequence[str]:
        """Say what types cannot."""
        return ["corners must be two or none"] if len(self.corners) == 1 else []


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPoint:
    """Whose author did not know that `unit` is the site file's."""

    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No options."""


def create(_: ConnectionSettings, __: DriverContext) -> NoReturn:
    """Settings never make a driver."""
    raise AssertionError


def foreign(name: str, point: type = Nothing) -> DriverKind:
    if name != "foreign":
        raise DriverUnknown(f"there is no driver {name!r}")
    return DriverKind(
        name="foreign",
        title="A third party's",
        connection_options=ForeignConnection,
        device_options=Nothing,
        point_options=point,
        create=create,
    )


SITE = """[site]
id = "a"
[event_store]
uri = "esdb://x?tls=false"
[[connection]]
id = "c"
driver = "foreign"
url = "bus://x"
%s
[[connection.device]]
id = "d"
point.ph = {}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


def test_options_of_a_third_party_are_made_from_its_own_classes(file: Path) -> None:
    file.write_text(SITE % 'corners = [{ x = 1 }, { x = 2, kind = "sharp" }]')
    (connection,) = load_settings(file, find_kind=foreign).connections
    corners = (Corner(x=1), Corner(x=2, kind="sharp"))
    assert connection.options == ForeignConnection(url="bus://x", corners=corners)
    assert connection.devices[0].points[0].unit == "[pH]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("corners = [\n  { x = 1 },\n  { x = '2' }]", ":11:5: connection[0].corners[1].x: must be a whole number"),
        ("corners = [{ x = 1, y = 2 }]", ":9:21: connection[0].corners[0].y: unknown key 'y'"),
        ("corners = [{ kind = 'round' }]", ":9:12: connection[0].corners[0]: x is required"),
        ("corners = [{ x = 1, kind = 'flat' }]", ":9:21: connection[0].corners[0].kind: must be 'round' or 'sharp'"),
        ("corners = [{ x = 1 }]", ":9:1: connection[0].corners: corners must be two or none"),
        ("choice = 'manual'", ":9:1: connection[0].choice: must be a whole number or 'auto'"),
        ("corners = 5", ":9:1: connection[0].corners: must be a list, in square brackets"),
    ],
)
def test_options_of_a_third_party_are_checked_like_ours(file: Path, line: str, expected: str) -> None:
    file.write_text(SITE % line)
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(file, find_kind=foreign)
    assert str(caught.value) == f"{file}{expected}"


def test_an_option_that_could_never_be_set_is_told(file: Path) -> None:
    file.write_text(SITE % "")
    with pytest.raises(ConfigurationInvalid, match=r"option 'unit' \(ForeignPoint\) has the name of a key of the site"):
        load_settings(file, find_kind=lambda name: foreign(name, ForeignPoint))


def test_a_device_without_points_is_told(file: Path) -> None:
    file.write_text((SITE % "").replace("point.ph = {}\n", ""))
    with pytest.raises(ConfigurationInvalid, match="the device has no points; name a profile or write"):
        load_settings(file, find_kind=foreign)
