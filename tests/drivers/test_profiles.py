"""What holds for every packaged profile, of whatever driver."""

import hashlib
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.domain.settings import DeviceSettings, Settings, ValueType

LoadSite = Callable[[str], Settings]

PROFILES = Path(__file__).parents[2] / "drivers" / "profiles"
NAMES = sorted(file.stem for file in PROFILES.glob("*.toml"))

# What a connection and a device of each driver cannot do without.
CONNECTION = {
    "modbus": 'host = "127.0.0.1"',
    "serial": 'serial_port = "/dev/serial/by-id/usb-test"',
    "mqtt": 'url = "mqtt://127.0.0.1"',
}
DEVICE = {"modbus": "", "serial": "", "mqtt": 'topic = "bench3"'}


def device_of(profile: str, load_site: LoadSite) -> DeviceSettings:
    driver = tomllib.loads((PROFILES / f"{profile}.toml").read_text(encoding="utf-8"))["profile"]["driver"]
    (device,) = load_site(f"""
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "wire"
driver = "{driver}"
{CONNECTION[driver]}
[[connection.device]]
id = "probe"
profile = "{profile}"
{DEVICE[driver]}
""").devices()
    return device


@pytest.mark.parametrize("profile", NAMES)
def test_a_packaged_profile_is_valid_and_says_where_its_facts_are_from(profile: str, load_site: LoadSite) -> None:
    written = (PROFILES / f"{profile}.toml").read_bytes()
    head = tomllib.loads(written.decode("utf-8"))["profile"]
    assert head["title"]
    assert head["source"]
    device = device_of(profile, load_site)
    assert device.profile is not None
    assert device.profile.id == profile
    assert device.profile.version >= 1
    assert device.profile.digest == f"sha256:{hashlib.sha256(written).hexdigest()}"


@pytest.mark.parametrize("profile", NAMES)
def test_each_published_number_of_a_profile_has_a_quantity_and_a_unit(profile: str, load_site: LoadSite) -> None:
    device = device_of(profile, load_site)
    assert any(point.publish for point in device.points)
    for point in device.points:
        has_both = point.quantity is not None and point.unit is not None
        assert has_both or not point.publish or point.type is not ValueType.NUMBER, point.id


def test_at_least_forty_device_models_are_packaged() -> None:
    assert len(NAMES) >= 40
