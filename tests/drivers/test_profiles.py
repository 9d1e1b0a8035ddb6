"""Every packaged profile is valid, and says of real registers what the vendor's example says."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from drivers.decoders.modbus_point import ModbusPointOptions, PointCodec
from drivers.modbus.options import ModbusDeviceOptions
from drivers.modbus.plan import plan_blocks
from edge.domain.reading import Quality, Reading
from edge.domain.settings import DeviceSettings

LoadProfile = Callable[[str], DeviceSettings]

PROFILES = Path(__file__).parents[2] / "drivers" / "profiles"
VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parent / "vectors" / "modbus_read.json").read_text(encoding="utf-8"))
}

# vector -> profile, address of its first register, and the points that its names mean.
SOIL = {"moisture": "water_content", "temperature": "substrate_temperature", "ec": "ec", "ph": "ph"}
MEANING: Mapping[str, tuple[str, int, Mapping[str, str]]] = {
    "xymd02-temp-x10": ("xy-md02", 1, {"temperature": "air_temperature"}),
    "xymd02-both": ("xy-md02", 1, {"temperature": "air_temperature", "humidity": "relative_humidity"}),
    "xymd02-negative": ("xy-md02", 1, {"temperature": "air_temperature"}),
    "s8-out-of-range-capture": ("senseair-s8", 3, {"co2": "co2"}),
    "soil4in1": ("soil-4-in-1", 0, SOIL),
    "soil7in1-registers": (
        "soil-7-in-1",
        0,
        {**SOIL, "nitrogen": "nitrogen", "phosphorus": "phosphorus", "potassium": "potassium"},
    ),
    "gmp252-co2": ("vaisala-gmp252", 0, {"co2": "co2"}),
    "sen0482-winddir": ("dfrobot-sen0482", 0, {"wind_direction": "wind_direction"}),
}


def reading_of(device: DeviceSettings, point_id: str, start: int, registers: Sequence[int]) -> Reading:
    point = device.point(point_id)
    assert point is not None
    assert isinstance(point.options, ModbusPointOptions)
    first = point.options.address - start
    return PointCodec(point).reading(registers[first : first + point.options.length])


@pytest.mark.parametrize("vector_id", MEANING)
def test_a_profile_decodes_its_vectors(vector_id: str, profile_device: LoadProfile) -> None:
    vector = VECTORS[vector_id]
    profile, start, names = MEANING[vector_id]
    device = profile_device(profile)
    for expected in vector["expect"]:
        point = device.point(names[expected["name"]])
        assert point is not None
        reading = reading_of(device, point.id, start, vector["registers"])
        assert reading.quality is Quality.GOOD
        # The vector speaks in the device's unit, the reading in the canonical one.
        canonical = point.conversion.apply(expected["value"])
        assert reading.value == pytest.approx(canonical, abs=expected.get("tolerance", 1e-9))


def test_a_measurement_that_is_not_available_is_bad(profile_device: LoadProfile) -> None:
    device = profile_device("vaisala-gmp252")
    assert reading_of(device, "co2", 0, VECTORS["vaisala-nan"]["registers"]).quality is Quality.BAD


def test_a_tank_probe_is_signed(profile_device: LoadProfile) -> None:
    assert reading_of(profile_device("qdy30a"), "water_level", 4, [0xFFF0]).value == -16.0


@pytest.mark.parametrize("profile", sorted(file.stem for file in PROFILES.glob("*.toml")))
def test_a_packaged_profile_is_valid_and_complete(profile: str, profile_device: LoadProfile) -> None:
    text = tomllib.loads((PROFILES / f"{profile}.toml").read_text(encoding="utf-8"))
    assert text["profile"]["source"]
    device = profile_device(profile)
    assert device.profile is not None
    assert device.profile.id == profile
    assert isinstance(device.options, ModbusDeviceOptions)
    assert device.options.address == text["defaults"]["address"]
    assert all(point.quantity and point.unit for point in device.points)
    points = {point.id: point.options for point in device.points if isinstance(point.options, ModbusPointOptions)}
    # One request is enough for all but the energy meter, whose registers lie far apart.
    blocks = plan_blocks(points, device.options)
    assert len(blocks) == (4 if profile == "eastron-sdm120" else 1)


def test_a_clone_with_another_scale_is_overridden_in_the_site_file(load_site: Callable[[str], object]) -> None:
    site = """
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
[[connection.device]]
id = "clone"
profile = "xy-md02"
[connection.device.point.air_temperature]
scale = 0.01
offset = 0.5
"""
    settings = load_site(site)
    point = settings.devices()[0].point("air_temperature")  # type: ignore[attr-defined]
    assert PointCodec(point).reading([2150]).value == 21.5
    assert point.offset == 0.5
