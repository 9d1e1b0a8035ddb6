"""Lines and frames through a packaged profile: bytes in, readings in canonical units out."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import drivers
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.nmea import checksum
from drivers.serial.by_hand import decode_bytes
from drivers.serial.options import SerialDeviceOptions
from edge.domain.reading import Quality, Reading, Reason
from edge.domain.settings import DeviceSettings, Settings, ValueType
from fakes.serial_site import PROFILE_SITE

LoadSite = Callable[[str], Settings]


VECTORS = {
    vector["id"]: bytes.fromhex(vector["stream_hex"] if "stream_hex" in vector else vector["response_hex"] or "")
    if vector["transport"] == "serial-binary"
    else vector["line"].encode()
    for name in ("serial_ascii.json", "serial_binary.json")
    for vector in json.loads((Path(__file__).parent / "vectors" / name).read_text(encoding="utf-8"))
}


def sentence(body: str) -> bytes:
    return f"${body}*{checksum(body.encode()):02X}\r\n".encode()


# Derived from the examples of the WXT530 manual and of gpsd's NMEA reference.
WXT_AIR = sentence("WIXDR,C,23.3,C,0,C,24.0,C,1,H,50.1,P,0,P,1009.5,H,0")
WXT_WIND = sentence("WIXDR,A,302,D,0,A,320,D,1,A,330,D,2,S,0.1,M,0,S,0.2,M,1,S,0.4,M,2")
WXT_RAIN = sentence("WIXDR,V,0.02,M,0,Z,30,s,0,R,2.7,M,0,V,0.0,M,1,Z,0,s,1,R,0.0,M,1,R,6.3,M,2,R,0.0,M,3")
MDA = sentence("WIMDA,29.7544,I,1.0076,B,35.5,C,17.5,C,42.1,,20.6,C,116.4,T,107.7,M,1.2,N,0.6,M")

# profile, bytes as they come, and each point's value; None = bad.
Expected = Mapping[str, float | bool | None]
CASES: list[tuple[str, bytes, Expected]] = [
    (
        "vaisala-wxt530",
        VECTORS["wxt-r1"],
        {
            "wind_direction": 283,
            "wind_direction_min": 236,
            "wind_direction_max": 31,
            "wind_speed": 1.0,
            "wind_speed_min": 0.0,
            "wind_speed_max": 2.2,
        },
    ),
    (
        "vaisala-wxt530",
        VECTORS["wxt-r0-all-invalid-wind"],
        {
            "wind_direction": None,
            "wind_direction_min": None,
            "wind_direction_max": None,
            "wind_speed": None,
            "wind_speed_min": None,
            "wind_speed_max": None,
            "outside_temperature": 16.0,
            "relative_humidity": 50.0,
            "air_pressure": 1018.1,
            "rainfall": 0.0,
            "rain_rate": 0.0,
            "heating_temperature": 15.6,
            "supply_voltage": 15.2,
        },
    ),
    ("vaisala-wxt530", b"0R2,Ta=70.7F,Pa=1.0181B\r\n", {"outside_temperature": 21.5, "air_pressure": 1018.1}),
    (
        "vaisala-wxt530-nmea",
        VECTORS["nmea-xdr-wxt"],
        {"heating_temperature": 35.2, "heating_voltage": 28.3, "supply_voltage": 28.6, "reference_voltage": 3.52},
    ),
    (
        "vaisala-wxt530-nmea",
        WXT_WIND + WXT_AIR + WXT_RAIN,
        {
            "wind_direction": 320,
            "wind_speed": 0.2,
            "wind_speed_max": 0.4,
            "outside_temperature": 23.3,
            "relative_humidity": 50.1,
            "air_pressure": 1009.5,
            "rainfall": 0.02,
            "rain_rate": 2.7,
        },
    ),
    ("nmea-wind", VECTORS["nmea-mwv-1"], {"wind_direction": 212.6, "wind_speed": 2.983777777778}),
    ("nmea-wind", VECTORS["nmea-mwv-4"], {"wind_direction": 257, "wind_speed": 2.983777777778}),
    ("nmea-wind", VECTORS["neg-nmea-void"], {"wind_direction": None, "wind_speed": None}),
    ("nasa-wind", VECTORS["nmea-mwv-3"], {"wind_direction": 65.0, "wind_speed": 0.0}),
    ("lcj-cv7", VECTORS["nmea-mwv-ms"], {"wind_direction": 344.0, "wind_speed": 5.9}),
    ("lcj-cv7", VECTORS["nmea-mwv-5"], {"wind_direction": 136.0, "wind_speed": 2.469333333333}),
    ("lcj-cv7", VECTORS["nmea-xdr-2meas"], {"outside_temperature": 7.0, "supply_voltage": 4.1}),
    ("lcj-cv7", VECTORS["nmea-xdr-26"], {"outside_temperature": 26.0}),
    ("nmea-weather", VECTORS["nmea-mwd"], {"wind_direction": 20.0, "wind_speed": 4.5}),
    (
        "nmea-weather",
        VECTORS["nmea-xdr-baro"] + VECTORS["nmea-xdr-named"],
        {"air_pressure": 1024.81, "outside_temperature": 19.52},
    ),
    (
        "nmea-mda",
        MDA,
        {
            "air_pressure": 1007.6,
            "outside_temperature": 35.5,
            "relative_humidity": 42.1,
            "dew_point": 20.6,
            "wind_direction": 116.4,
            "wind_speed": 0.6,
        },
    ),
    ("winsen-mh-z19b", VECTORS["mhz19-read"], {"co2": 544}),
    (
        "plantower-pms5003",
        VECTORS["pms-capture-2"],
        {
            "pm1_0": 25,
            "pm2_5": 41,
            "pm10": 52,
            "pm1_0_cf1": 29,
            "pm2_5_cf1": 49,
            "pm10_cf1": 57,
            "particles_0_3um": 1743,
            "particles_0_5um": 1523,
            "particles_1_0um": 344,
            "particles_2_5um": 8,
            "particles_5_0um": 0,
            "particles_10um": 0,
        },
    ),
    ("cas-scale", VECTORS["scale-stable"], {"weight": 45.0, "stable": True}),
    ("cas-scale", VECTORS["scale-stable-spaced"], {"weight": 7.16, "stable": True}),
    ("cas-scale", VECTORS["scale-pos"], {"weight": 12.345, "stable": True}),
    ("cas-scale", b"US,GS,+00250 g\r\n", {"weight": 0.25, "stable": False}),
    ("cas-scale", b"OL,GS,+99999.9kg\r\n", {"weight": None, "stable": False}),
    ("gama-scale", VECTORS["scale-implied-decimals"], {"weight": 0.0, "stable": True}),
    ("gama-scale", b"ST,GS,+001234\r\n", {"weight": 12.34, "stable": True}),
    ("water-node", VECTORS["water-node-debug-line"], {"water_level": 127, "raw": 153}),
    ("json-node", b'{"temperature": 21.8, "humidity": 55}\n', {"air_temperature": 21.8, "relative_humidity": 55}),
    ("json-node", b'{"temperature": null}\n', {"air_temperature": None}),
    (
        "key-value-node",
        b"temperature=71.2F humidity=55 %\n",
        {"air_temperature": 21.777777777778, "relative_humidity": 55},
    ),
    ("csv-node", b"21.8,nan\r\n", {"air_temperature": 21.8, "relative_humidity": None}),
]


def device_of(load_site: LoadSite, profile: str, more: str = "") -> DeviceSettings:
    (device,) = load_site(PROFILE_SITE.format(profile=profile) + more).devices()
    return device


def readings_of(device: DeviceSettings, stream: bytes) -> dict[str, Reading]:
    """The readings of the points that the stream speaks of."""
    readings = decode_bytes(device, stream)
    return {name: reading for name, reading in readings.items() if reading.reason is not Reason.COMM_ERROR}


@pytest.mark.parametrize(
    ("profile", "stream", "expected"), CASES, ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)]
)
def test_a_profile_reads_its_devices_words(
    profile: str, stream: bytes, expected: Expected, load_site: LoadSite
) -> None:
    device = device_of(load_site, profile)
    readings = readings_of(device, stream)
    assert {name: reading.value for name, reading in readings.items()} == expected
    for name, reading in readings.items():
        assert (reading.quality is Quality.BAD) == (expected[name] is None)
        point = device.point(name)
        assert point is not None
        assert reading.unit == point.unit
        if point.range is not None and isinstance(reading.value, float):
            assert point.range.low <= reading.value <= point.range.high


@pytest.mark.parametrize("profile", sorted({profile for profile, _, _ in CASES}))
def test_every_point_of_a_profile_is_read_by_some_line(profile: str, load_site: LoadSite) -> None:
    device = device_of(load_site, profile)
    read = {name for case, _, expected in CASES if case == profile for name in expected}
    assert {point.id for point in device.points} == read
    assert all(point.quantity or point.type is not ValueType.NUMBER or not point.publish for point in device.points)


REFUSED = [
    ("nmea-wind", VECTORS["nmea-mwv-1"][:-6] + b"\r\n", "no whole MWV"),
    ("lcj-cv7", VECTORS["neg-nmea-xdr-ck"], "checksum"),
    ("plantower-pms5003", VECTORS["neg-pms-checksum"], "checksum"),
    ("winsen-mh-z19b", VECTORS["mhz19-read"][:-1] + b"\0", "checksum"),
    ("winsen-mh-z19b", VECTORS["mhz19-read"][:-1], "no whole frame"),
    ("vaisala-wxt530", VECTORS["wxt-r1"][:-4], "no value of a WXT"),
    ("vaisala-wxt530", b"1R1,Dm=283D\r\n0TX,Unknown cmd error\r\n", "Unknown cmd error"),
    ("cas-scale", b"ST,GS,+0004\r\n", "torn"),
    ("water-node", b"raw=153  depth=12", "does not fit the pattern"),
    ("json-node", b'{"temperature": 2', "no JSON"),
    ("csv-node", b"rst cause:2, boot mode:(3,6)\n", "holds no value"),
]


@pytest.mark.parametrize(("profile", "stream", "sentence"), REFUSED)
def test_what_is_torn_or_damaged_gives_no_reading(
    profile: str, stream: bytes, sentence: str, load_site: LoadSite
) -> None:
    with pytest.raises(FrameMalformed, match=sentence):
        decode_bytes(device_of(load_site, profile), stream)


def test_a_node_whose_names_differ_is_told_so_in_the_site_file(load_site: LoadSite) -> None:
    more = '[connection.device.point.air_temperature]\nfield = "air.t"\n'
    readings = readings_of(device_of(load_site, "json-node", more), b'{"air": {"t": 21.8}}\n')
    assert readings["air_temperature"].value == 21.8


def test_a_unit_that_is_set_at_the_instrument_changes_no_reading(load_site: LoadSite) -> None:
    device = device_of(load_site, "vaisala-wxt530")
    readings = [readings_of(device, line)["air_pressure"] for line in (b"0R2,Pa=1018.1H\r\n", b"0R2,Pa=1.0181B\r\n")]
    assert readings[0] == readings[1]


def test_hectopascals_under_the_letter_of_bar_can_be_scaled_in_the_site_file(load_site: LoadSite) -> None:
    line = sentence("IIXDR,P,1013.2,B,Barometer")
    device = device_of(load_site, "nmea-weather")
    point = device.point("air_pressure")
    assert point is not None
    assert point.range is not None
    pressure = readings_of(device, line)["air_pressure"].value
    assert isinstance(pressure, float)
    assert pressure > point.range.high
    more = "[connection.device.point.air_pressure]\nscale = 0.001\n"
    assert readings_of(device_of(load_site, "nmea-weather", more), line)["air_pressure"].value == 1013.2


def test_the_baseline_correction_of_an_mh_z19_is_switched_off_as_its_profile_says(load_site: LoadSite) -> None:
    text = (Path(drivers.__path__[0]) / "profiles" / "winsen-mh-z19b.toml").read_text(encoding="utf-8")
    (advice,) = (line.removeprefix("# ") for line in text.splitlines() if line.startswith("# setup = "))
    options = device_of(load_site, "winsen-mh-z19b", advice).options
    assert isinstance(options, SerialDeviceOptions)
    assert [line.encode("latin-1") for line in options.setup] == [bytes.fromhex("ff0179000000000086")]
