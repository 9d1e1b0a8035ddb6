"""What one answer says, through the packaged profiles of EZO circuits and SDI-12 sensors."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import drivers
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.sdi12 import checksum
from drivers.serial.by_hand import decode_bytes
from drivers.serial.options import SerialDeviceOptions
from edge.domain.reading import Quality
from edge.domain.settings import DeviceSettings, Settings
from fakes.serial_site import PROFILE_SITE, device, ezo, point

LoadSite = Callable[[str], Settings]

VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "serial_ascii.json").read_text(encoding="utf-8"))
}


def probe(load_site: LoadSite, profile: str, more: str = "") -> DeviceSettings:
    (found,) = load_site(PROFILE_SITE.format(profile=profile) + more).devices()
    return found


CASES: list[tuple[str, str, str, Mapping[str, float | None]]] = [
    ("ezo-ph", VECTORS["ezo-ph-r"]["line"], "", {"ph": 9.56}),
    ("ezo-ph", "9.560", "", {"ph": 9.56}),
    ("ezo-ec", "1413,706,0.71,1.000\r*OK\r", "", {"ec": 1.413}),
    ("ezo-do", "8.21,98.1\r", "", {"dissolved_oxygen": 8.21}),
    ("ezo-orp", "-125.3\r", "", {"redox_potential": -125.3}),
    ("ezo-rtd", "21.517\r", "", {"water_temperature": 21.517}),
    ("ezo-rtd", "-1023.000\r", "", {"water_temperature": None}),
    (
        "meter-teros-12",
        VECTORS["sdi12-teros12-d0"]["line"],
        VECTORS["sdi12-teros12-d0"]["request"],
        {"raw_counts": 1807.82, "substrate_temperature": 21.0, "ec": 0.001},
    ),
    ("meter-teros-12", "0+1807.82-9991+1", "", {"raw_counts": 1807.82, "substrate_temperature": None, "ec": 0.001}),
    ("meter-teros-11", "3+2749.0+21.3\r\n", "", {"raw_counts": 2749.0, "substrate_temperature": 21.3}),
    ("meter-teros-21", "0-33.5+18.2\r\n", "0D0!", {"matric_potential": -33.5, "substrate_temperature": 18.2}),
    ("decagon-ctd-10", "0+127+22.5+1413\r\n", "0R0!", {"water_level": 127, "water_temperature": 22.5, "ec": 1.413}),
    (
        "acclima-tdr310",
        "0+32.5+21.3+18.4+450+1800\r\n",
        "",
        {"water_content": 32.5, "substrate_temperature": 21.3, "ec": 0.45},
    ),
    ("campbell-cs650", "0+0.325+0.45+21.3\r\n", "", {"water_content": 32.5, "ec": 0.45, "substrate_temperature": 21.3}),
    (
        "campbell-cs650",
        "0+9999999+0.45+21.3\r\n",
        "",
        {"water_content": None, "ec": 0.45, "substrate_temperature": 21.3},
    ),
]


@pytest.mark.parametrize(("profile", "line", "request_text", "expected"), CASES)
def test_a_profile_reads_one_answer(
    profile: str, line: str, request_text: str, expected: Mapping[str, float | None], load_site: LoadSite
) -> None:
    settings = probe(load_site, profile)
    readings = decode_bytes(settings, line.encode(), request=request_text)
    assert {name: reading.value for name, reading in readings.items()} == expected
    for name, reading in readings.items():
        found = settings.point(name)
        assert found is not None
        assert reading.unit == found.unit
        assert (reading.quality is Quality.BAD) == (expected[name] is None)
        if found.range is not None and isinstance(reading.value, float):
            assert found.range.low <= reading.value <= found.range.high


def test_every_packaged_profile_of_these_decoders_is_read_here(load_site: LoadSite) -> None:
    folder = Path(drivers.__path__[0]) / "profiles"
    texts = {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.toml")}
    ours = {name for name, text in texts.items() if 'decoder = "ezo"' in text or 'decoder = "sdi12"' in text}
    assert ours == {profile for profile, *_ in CASES}
    for name in ours:
        options = probe(load_site, name).options
        assert isinstance(options, SerialDeviceOptions)
        assert options.is_asked


@pytest.mark.parametrize("vector_id", ["sdi12-crc-b", "sdi12-crc-c"])
def test_the_standards_examples_are_read_with_their_checksums(vector_id: str) -> None:
    vector = VECTORS[vector_id]
    points = [point(each["name"], number) for number, each in enumerate(vector["expect"])]
    sensor = device("sensor", *points, decoder="sdi12", address="0", command="MC")
    readings = decode_bytes(sensor, vector["line"].encode(), request=vector["request"])
    assert {name: reading.value for name, reading in readings.items()} == {
        each["name"]: each["value"] for each in vector["expect"]
    }


SENSOR = device("sensor", point("a", 0), point("b", 1), decoder="sdi12", address="0")
REFUSED: list[tuple[DeviceSettings, str, str, str]] = [
    (ezo(), VECTORS["ezo-info-ph-lower"]["line"], "", "answer to another command"),
    (ezo(), VECTORS["ezo-status"]["line"], "", "answer to another command"),
    (ezo(), VECTORS["ezo-error"]["line"], "", "does not understand"),
    (ezo(), VECTORS["ezo-do-no-output"]["line"], "", "no value"),
    (ezo(), VECTORS["ezo-code-ov"]["line"], "", "holds no value: over voltage"),
    (ezo(), VECTORS["ezo-code-re"]["line"], "", "holds no value: boot completed"),
    (ezo(), "", "", "no whole frame in these 0 bytes"),
    (ezo(point("b", 1)), "9.560\r", "", "none of the device's fields: 1"),
    (ezo(point("a", 0), point("b", 1)), "9.560\r", "", "there is none with number 1"),
    (SENSOR, "0+1+2" + checksum("0+1+3"), "", "wrong checksum"),
    (SENSOR, "0+1+2", "0RC0!", "no checksum"),
    (SENSOR, "0+1", "", "there is none with number 1"),
    (SENSOR, "0+1+", "", "no answer with values"),
    (SENSOR, "1+1+2", "0D0!", "comes from address 1, 0 was asked"),
    (SENSOR, VECTORS["sdi12-ctd10-m"]["line"], "", "announces 3 values in 1 s"),
    (SENSOR, "0", "0D0!", "holds no value"),
    (SENSOR, "0+1+2", "0M!", "asks for no values"),
]


@pytest.mark.parametrize(("settings", "line", "request_text", "sentence"), REFUSED)
def test_what_is_no_answer_says_why(settings: DeviceSettings, line: str, request_text: str, sentence: str) -> None:
    with pytest.raises(FrameMalformed, match=sentence):
        decode_bytes(settings, line.encode(), request=request_text)


def advice(profile: str) -> list[str]:
    """The tables that a profile offers in its comments, each for the site file."""
    text = (Path(drivers.__path__[0]) / "profiles" / f"{profile}.toml").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("[connection.device.point")]
    return ["\n".join(lines[start : start + 4]) + "\n" for start in starts]


def product(left: Sequence[float], right: Sequence[float]) -> list[float]:
    """Multiply two polynomials, coefficients from the constant upwards."""
    result = [0.0] * (len(left) + len(right) - 1)
    for low, first in enumerate(left):
        for high, second in enumerate(right):
            result[low + high] += first * second
    return result


@pytest.mark.parametrize("profile", ["meter-teros-11", "meter-teros-12"])
def test_water_content_is_added_for_the_substrate_as_the_profile_says(profile: str, load_site: LoadSite) -> None:
    soilless, mineral = advice(profile)
    for text, percent in ((soilless, 43.2), (mineral, 37.1)):
        readings = decode_bytes(probe(load_site, profile, text), b"0+2749.0+21.3+1")
        assert readings["water_content"].value == pytest.approx(percent, abs=0.1)
        assert readings["water_content"].unit == "%"


def test_the_vectors_own_formula_of_the_water_content_can_be_written_as_a_polynomial(load_site: LoadSite) -> None:
    root = [-43.39, 5.276e-2, -2.08e-5, 2.887e-9]
    permittivity = product(root, root)
    square = product(permittivity, permittivity)
    powers = ([1.0], permittivity, square, product(square, permittivity))
    topp = [0.0] * 19
    for factor, power in zip([-5.3e-2, 2.92e-2, -5.5e-4, 4.3e-6], powers, strict=True):
        for place, coefficient in enumerate(power):
            topp[place] += factor * coefficient
    more = f'[connection.device.point.water_content]\nfield = 0\nunit = "m3/m3"\npolynomial = {topp}\n'
    vector = VECTORS["sdi12-teros12-d0"]
    readings = decode_bytes(probe(load_site, "meter-teros-12", more), vector["line"].encode())
    (expected,) = (each["value"] for each in vector["expect"] if each["name"] == "vwc")
    assert readings["water_content"].value == pytest.approx(expected, abs=0.001)
