"""Every captured or documented line and frame of the lines, NMEA, WXT, scale, MH-Z19 and Plantower vectors.

Those of EZO and SDI-12 are tested beside their decoders.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.decoders import mhz19
from drivers.decoders.frame import Field, FrameDecoder, FrameMalformed
from drivers.decoders.lines import LineDecoder
from drivers.decoders.mhz19 import Mhz19Decoder
from drivers.decoders.nmea import NmeaDecoder
from drivers.decoders.plantower import PlantowerDecoder
from drivers.decoders.scale import ScaleDecoder
from drivers.decoders.values import ValueCodec
from drivers.decoders.wxt import WxtDecoder
from edge.domain.quantity import QUANTITIES, conversion
from edge.domain.reading import Quality, Reading
from fakes.value_points import value_point

FOLDER = Path(__file__).parents[1] / "vectors"
ELSEWHERE = {"ezo", "sdi12"}


def vectors(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return [vector for vector in loaded if vector.get("protocol") not in ELSEWHERE]


ASCII = vectors("serial_ascii.json")
BINARY = vectors("serial_binary.json")

# The vectors' units: in UCUM, and of which quantity.
UNITS = {
    "deg": ("deg", "wind_direction"),
    "m/s": ("m/s", "wind_speed"),
    "kn": ("[kn_i]", "wind_speed"),
    "degC": ("Cel", "outside_temperature"),
    "%RH": ("%", "relative_humidity"),
    "hPa": ("hPa", "air_pressure"),
    "mm": ("mm", "rainfall"),
    "V": ("V", "voltage"),
    "kg": ("kg", "mass"),
    "ppm": ("[ppm]", "co2_concentration"),
    "ug/m3": ("ug/m3", "particle_concentration"),
}

# The vectors' names -> the decoders' fields, where they differ.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "wxt": {
        "wind_dir_min": "Dn",
        "wind_dir_avg": "Dm",
        "wind_dir_max": "Dx",
        "wind_speed_min": "Sn",
        "wind_speed_avg": "Sm",
        "wind_speed_max": "Sx",
        "air_temperature": "Ta",
        "humidity": "Ua",
        "pressure": "Pa",
        "rain_accumulation": "Rc",
        "supply_voltage": "Vs",
    },
    "nmea": {
        "wind_angle": "MWV.angle",
        "wind_speed": "MWV.speed",
        "wind_speed_si": "MWV.speed",
        "temperature": "XDR.C.0",
        "voltage": "XDR.U.0",
        "pressure": "XDR.Barometer",
        "TempAir": "XDR.TempAir",
        "heating_temperature": "XDR.C.2",
        "heating_voltage": "XDR.U.0",
        "supply_voltage": "XDR.U.1",
        "reference_voltage": "XDR.U.2",
    },
    "nmea-mwd": {
        "wind_dir_true": "MWD.direction_true",
        "wind_speed_kn": "MWD.speed_knots",
        "wind_speed": "MWD.speed",
    },
}


def decoder_of(vector: Mapping[str, Any]) -> FrameDecoder:
    if vector["transport"] == "serial-binary":
        return Mhz19Decoder() if "MH-Z19" in vector["device"] else PlantowerDecoder()
    decoders: dict[str, FrameDecoder] = {
        "wxt": WxtDecoder(),
        "nmea": NmeaDecoder(),
        "scale": ScaleDecoder(),
        "regex-line": LineDecoder(layout="regex", pattern=r"raw=(?P<raw>\d+)\s+depth=(?P<depth>\d+) mm"),
    }
    return decoders[vector["protocol"]]


def field_of(vector: Mapping[str, Any], name: str, fields: Mapping[str, Field]) -> Field:
    names = FIELDS.get(vector["id"]) or FIELDS.get(vector.get("protocol", ""), {})
    return fields[names.get(name, name)]


def reading_of(field: Field, quantity: str | None) -> Reading:
    codec = ValueCodec(value_point(quantity, type="boolean" if isinstance(field.value, bool) else "number"))
    return codec.reading(field.value, unit=field.unit, reason=field.reason)


def check(vector: Mapping[str, Any], stream: bytes) -> None:
    decoder = decoder_of(vector)
    (frame,) = decoder.feed(stream)
    if "expect_error" in vector:
        with pytest.raises(FrameMalformed, match=vector["expect_error"]):
            decoder.fields(frame)
        return
    fields = decoder.fields(frame)
    for expected in vector["expect"]:
        unit, quantity = UNITS.get(expected["unit"], ("", None))
        reading = reading_of(field_of(vector, expected["name"], fields), quantity)
        way = conversion(unit, "" if quantity is None else QUANTITIES[quantity].unit)
        assert way is not None
        assert reading.value == pytest.approx(way.apply(expected["value"]), abs=1e-4), expected["name"]
        assert reading.quality is Quality.GOOD
    for name in vector.get("expect_bad", ()):
        assert reading_of(field_of(vector, name, fields), "wind_speed").quality is Quality.BAD


@pytest.mark.parametrize("vector", ASCII, ids=lambda vector: vector["id"])
def test_a_line_says_what_its_source_says(vector: dict[str, Any]) -> None:
    check(vector, vector["line"].encode())


@pytest.mark.parametrize(
    "vector", [vector for vector in BINARY if vector.get("stream_hex")], ids=lambda vector: vector["id"]
)
def test_a_frame_that_comes_by_itself_says_what_its_source_says(vector: dict[str, Any]) -> None:
    check(vector, bytes.fromhex(vector["stream_hex"]))


@pytest.mark.parametrize(
    "vector", [vector for vector in BINARY if vector.get("request_hex")], ids=lambda vector: vector["id"]
)
def test_a_request_is_as_the_manual_prints_it_and_its_answer_says_what_the_manual_says(vector: dict[str, Any]) -> None:
    request = bytes.fromhex(vector["request_hex"])
    assert request[8] == mhz19.checksum(request)
    if vector["response_hex"] is not None:
        assert request == mhz19.REQUEST
        check(vector, bytes.fromhex(vector["response_hex"]))


def test_no_vector_is_left_out() -> None:
    assert all(vector["protocol"] in {"wxt", "nmea", "scale", "regex-line"} for vector in ASCII)
    assert all(vector.get("stream_hex") or vector.get("request_hex") for vector in BINARY)
