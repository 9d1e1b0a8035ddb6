"""Every packaged Modbus profile says of registers what the maker's table or example says."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.decoders.modbus_device import DeviceCodec, ReadBlock, decode_block
from drivers.decoders.modbus_frame import parse_response
from drivers.decoders.modbus_options import ModbusPointOptions
from drivers.decoders.modbus_point import PointCodec
from drivers.decoders.modbus_status import status_mistakes
from drivers.modbus.options import ModbusDeviceOptions
from edge.domain.reading import Quality, Reading
from edge.domain.settings import DeviceSettings, Settings

LoadSite = Callable[[str], Settings]
LoadProfile = Callable[[str], DeviceSettings]

PROFILES = Path(__file__).parents[2] / "drivers" / "profiles"
VECTORS = Path(__file__).parent / "vectors"


def loaded(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return vectors


def modbus_profiles() -> list[str]:
    texts = {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in PROFILES.glob("*.toml")}
    return sorted(name for name, text in texts.items() if text["profile"]["driver"] == "modbus")


# Captured and documented frames: vector -> profile, table and address of its first register, names of its points.
SOIL = {"moisture": "water_content", "temperature": "substrate_temperature", "ec": "ec", "ph": "ph"}
CLIMATE = {"temperature": "air_temperature", "humidity": "relative_humidity"}
NPK = {"nitrogen": "nitrogen", "phosphorus": "phosphorus", "potassium": "potassium"}
MEANING: Mapping[str, tuple[str, str, int, Mapping[str, str]]] = {
    "xymd02-temp-x10": ("xy-md02", "input", 1, CLIMATE),
    "xymd02-both": ("xy-md02", "input", 1, CLIMATE),
    "xymd02-negative": ("xy-md02", "input", 1, CLIMATE),
    "s8-out-of-range-capture": ("senseair-s8", "input", 3, {"co2": "co2"}),
    "soil4in1": ("soil-4-in-1", "holding", 0, SOIL),
    "soil7in1-registers": ("soil-7-in-1", "holding", 0, SOIL | NPK),
    "soil-jxbs-th": ("jxbs-3001", "holding", 2, SOIL),
    "sensecap-vwc": ("sensecap-s-temp-vwc-ec-02", "holding", 1, {"vwc": "water_content"}),
    "gmp252-co2": ("vaisala-gmp252", "holding", 0, {"co2": "co2"}),
    "vts2000-frequency": (
        "vts2000",
        "holding",
        0x2102,
        {"set_frequency": "frequency_set", "output_frequency": "frequency_output"},
    ),
    "sen0482-winddir": ("dfrobot-sen0482", "holding", 0, {"wind_direction": "wind_direction"}),
    "y520-serial-number": ("yosemitech-y520", "holding", 0x0900, {"serial_raw": "serial_number"}),
    "kbr-alt-layout-word-swap": ("tuf-2000m", "holding", 0, {"flow": "flow_rate"}),
    "lctech-read-coils": ("lctech-lc-modbus-relay", "coil", 0, {"relay1": "relay1", "relay2": "relay2"}),
    "lctech-read-inputs": ("lctech-lc-modbus-relay", "discrete", 0, {"input1": "input1"}),
}


@pytest.mark.parametrize("vector_id", MEANING)
def test_a_profile_decodes_captured_and_documented_frames(vector_id: str, profile_device: LoadProfile) -> None:
    (vector,) = [each for each in loaded("modbus_read") if each["id"] == vector_id]
    profile, table, address, names = MEANING[vector_id]
    device = profile_device(profile)
    values = vector.get("registers") or vector["bits"]
    if vector.get("response_hex"):
        reply = parse_response(bytes.fromhex(vector["response_hex"]), request=bytes.fromhex(vector["request_hex"]))
        assert (reply.table, reply.address, list(reply.values)) == (table, address, values)
    readings = DeviceCodec(device).decoded([ReadBlock(table=table, address=address, values=values)])  # type: ignore[arg-type]
    for expected in vector["expect"]:
        reading = readings[names[expected["name"]]]
        assert reading.quality is Quality.GOOD
        assert reading.value == canonical(device, names[expected["name"]], expected["value"])


def canonical(device: DeviceSettings, point_id: str, value: float | bool | str) -> Any:
    """What the vector says in the device's unit, in the canonical one; a text without what surrounds it."""
    point = device.point(point_id)
    assert point is not None
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.strip("\t\0")
    return pytest.approx(point.conversion.apply(value), abs=0.001)


DERIVED = loaded("modbus_profiles")


@pytest.mark.parametrize("vector", DERIVED, ids=lambda vector: vector["id"])
def test_a_profile_decodes_the_registers_of_the_makers_table(
    vector: dict[str, Any], profile_device: LoadProfile
) -> None:
    blocks = [ReadBlock(**block) for block in vector["blocks"]]
    readings = DeviceCodec(profile_device(vector["profile"])).decoded(blocks)
    assert readings.keys() == vector["expect"].keys()
    for point_id, expected in vector["expect"].items():
        reading = readings[point_id]
        assert reading.quality == expected.get("quality", "good"), point_id
        assert reading.reason == expected.get("reason"), point_id
        wanted = expected["value"]
        is_number = isinstance(wanted, float | int) and not isinstance(wanted, bool)
        assert reading.value == (pytest.approx(wanted, rel=1e-5, abs=1e-9) if is_number else wanted), point_id


def test_every_point_of_every_profile_is_in_a_vector(profile_device: LoadProfile) -> None:
    seen = {(vector["profile"], point_id) for vector in DERIVED for point_id in vector["expect"]}
    wanted = {(profile, point.id) for profile in modbus_profiles() for point in profile_device(profile).points}
    assert wanted - seen == set()


@pytest.mark.parametrize("profile", modbus_profiles())
def test_a_modbus_profile_goes_together(profile: str, profile_device: LoadProfile) -> None:
    text = tomllib.loads((PROFILES / f"{profile}.toml").read_text(encoding="utf-8"))
    device = profile_device(profile)
    assert isinstance(device.options, ModbusDeviceOptions)
    assert device.options.address == text.get("defaults", {}).get("address", 1)
    assert list(status_mistakes(device)) == []


def test_a_measurement_that_is_not_available_is_bad(profile_device: LoadProfile) -> None:
    for vector_id, profile, address in (
        ("vaisala-nan", "vaisala-gmp252", 0),
        ("vaisala-nan", "vaisala-gmw90", 0),
        ("vaisala-int16-na", "vaisala-gmw80", 0x0102),
    ):
        (vector,) = [each for each in loaded("modbus_read") if each["id"] == vector_id]
        readings = decode_block(profile_device(profile), "holding", address, vector["registers"])
        assert [reading.quality for reading in readings.values()] == [Quality.BAD]


def test_a_tank_probes_own_zero_is_an_offset_in_the_site_file(load_site: LoadSite) -> None:
    (vector,) = [each for each in loaded("modbus_read") if each["id"] == "qdy30a-level"]
    device = of_site(load_site, "qdy30a", "[connection.device.point.water_level]\noffset = -26")
    reading = decode_block(device, "holding", 4, vector["registers"])["water_level"]
    point = device.point("water_level")
    assert point is not None
    # The collector adds it, after the range was checked.
    assert isinstance(reading.value, float)
    assert reading.value + point.offset == vector["expect"][0]["value"]


def test_a_clone_with_another_scale_is_overridden_in_the_site_file(load_site: LoadSite) -> None:
    device = of_site(load_site, "xy-md02", "[connection.device.point.air_temperature]\nscale = 0.01\noffset = 0.5")
    point = device.point("air_temperature")
    assert point is not None
    assert PointCodec(point).reading([2150]).value == 21.5
    assert point.offset == 0.5


def test_a_probe_set_to_fahrenheit_is_overridden_in_the_site_file(load_site: LoadSite) -> None:
    override = '[connection.device.point.substrate_temperature]\nunit = "[degF]"'
    device = of_site(load_site, "sensecap-s-temp-vwc-ec-02", override)
    assert decode_block(device, "holding", 0, [7700])["substrate_temperature"] == Reading(value=25.0, unit="Cel")


def test_a_device_without_its_status_register_can_do_without_the_rule(load_site: LoadSite) -> None:
    device = of_site(load_site, "senseair-s8", "[connection.device.point.meter_status]\nbad_when_bits = []")
    assert decode_block(device, "input", 0, [0x20, 0, 0, 412])["co2"].value == 412.0


def of_site(load_site: LoadSite, profile: str, override: str) -> DeviceSettings:
    (device,) = load_site(f"""
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
[[connection.device]]
id = "probe"
profile = "{profile}"
{override}
""").devices()
    assert all(isinstance(point.options, ModbusPointOptions) for point in device.points)
    return device
