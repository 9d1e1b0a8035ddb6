"""`decode` on the vectors, as a person would type them: with the packaged profile that fits."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.domain.quantity import conversion
from fakes.command_line import readings, told, typed

FOLDER = Path(__file__).parents[2] / "drivers" / "vectors"
VECTORS: dict[str, dict[str, Any]] = {
    vector["id"]: vector
    for name in (
        "modbus_read",
        "modbus_negative",
        "modbus_write",
        "mqtt",
        "lorawan_bytes",
        "serial_ascii",
        "serial_binary",
    )
    for vector in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
}
# The vectors' units in UCUM.
UNITS = {"degC": "Cel", "%RH": "%", "ppm": "[ppm]", "ug/m3": "ug/m3", "pH": "[pH]", "kn": "[kn_i]"}

CLIMATE = {"temperature": "air_temperature", "humidity": "relative_humidity", "dew_point": "dew_point"}
SOIL = {"moisture": "water_content", "temperature": "substrate_temperature", "ec": "ec", "ph": "ph"}
NUTRIENTS = {"nitrogen": "nitrogen", "phosphorus": "phosphorus", "potassium": "potassium"}
WIND = {"wind_angle": "wind_direction", "wind_speed": "wind_speed"}
WXT = {"wind_dir_avg": "wind_direction", "wind_speed_avg": "wind_speed"}
PARTICLES = {"pm1_0_atm": "pm1_0", "pm2_5_atm": "pm2_5", "pm10_atm": "pm10"}

# vector -> profile, and the points that its names mean.
CASES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "xymd02-temp-x10": ("xy-md02", CLIMATE),
    "xymd02-both": ("xy-md02", CLIMATE),
    "xymd02-negative": ("xy-md02", CLIMATE),
    "soil4in1": ("soil-4-in-1", SOIL),
    "soil7in1-registers": ("soil-7-in-1", SOIL | NUTRIENTS),
    "soil-jxbs-th": ("jxbs-3001", SOIL),
    "vts2000-frequency": ("vts2000", {"set_frequency": "frequency_set", "output_frequency": "frequency_output"}),
    "lctech-read-coils": ("lctech-lc-modbus-relay", {"relay1": "relay1", "relay2": "relay2"}),
    "lctech-read-inputs": ("lctech-lc-modbus-relay", {"input1": "input1"}),
    "gmp252-co2": ("vaisala-gmp252", {"co2": "co2"}),
    "sen0482-winddir": ("dfrobot-sen0482", {"wind_direction": "wind_direction"}),
    "neg-echo-prefix": ("qdy30a", {"level_raw": "water_level"}),
    "tasmota-aht1x": ("tasmota-aht1x", CLIMATE),
    "tasmota-dht-strings": ("tasmota-dht", CLIMATE),
    "tasmota-si7021": ("tasmota-si7021", CLIMATE),
    "z2m-th": ("zigbee2mqtt-climate", CLIMATE),
    "z2m-thp": ("zigbee2mqtt-climate", CLIMATE | {"battery": "battery_level", "pressure": "air_pressure"}),
    "z2m-state": ("zigbee2mqtt-switch", {"state": "state"}),
    "shelly-plus-ht-full": ("shelly-plus-ht", CLIMATE),
    "shelly-gen2-status-hum": ("shelly-plus-ht", CLIMATE),
    "shelly-switch": ("shelly-switch", {"output": "relay"}),
    "shelly-gen1-relay": ("shelly-gen1-relay", {"relay": "relay"}),
    "ha-dht-state": ("json-climate", CLIMATE),
    "em500-smtc": ("milesight-em500-smtc", {"humidity": "water_content", "ec": "ec", "battery": "battery_level"}),
    "em300-th-history": ("milesight-em300-th", CLIMATE),
    "em500-co2": ("milesight-em500-co2", CLIMATE | {"co2": "co2", "pressure": "air_pressure"}),
    "em500-lgt": ("milesight-em500-lgt", {"illumination": "illuminance"}),
    "wxt-r1": ("vaisala-wxt530", WXT),
    "wxt-leading-zeros": ("vaisala-wxt530", WXT | {"humidity": "relative_humidity"}),
    "nmea-mwv-1": ("nmea-wind", WIND),
    "nmea-mwv-ms": ("lcj-cv7", WIND),
    "nmea-xdr-2meas": ("lcj-cv7", {"temperature": "outside_temperature"}),
    "scale-stable": ("cas-scale", {"weight": "weight", "stable": "stable"}),
    "scale-stable-spaced": ("cas-scale", {"weight": "weight"}),
    "ezo-ph-r": ("ezo-ph", {"ph": "ph"}),
    "sdi12-teros12-d0": ("meter-teros-12", {"temperature": "substrate_temperature", "ec": "ec"}),
    "sdi12-crc-b": ("decagon-ctd-10", {"v1": "water_level", "v2": "water_temperature"}),
    "water-node-debug-line": ("water-node", {"depth": "water_level"}),
    "mhz19-read": ("winsen-mh-z19b", {"co2": "co2"}),
    "pms-capture-2": ("plantower-pms5003", PARTICLES),
}


def arguments(vector: Mapping[str, Any], profile: str) -> list[str]:
    """What a person with this vector in hand types."""
    given = ["--profile", profile]
    if vector.get("response_hex"):
        given += ["--frame", vector["response_hex"]]
        return [*given, "--request", vector["request_hex"]] if vector.get("request_crc_ok") else given
    if "payload" in vector:
        return [*given, "--topic", vector["topic"], "--payload", vector["payload"]]
    if "line" in vector:
        request = ["--request", vector["request"]] if vector.get("request") else []
        return [*given, "--line", vector["line"], *request]
    if "registers" in vector:
        return [*given, "--registers", ",".join(map(str, vector["registers"]))]
    return [*given, "--frame", vector.get("payload_hex") or vector["stream_hex"]]


@pytest.mark.parametrize("vector_id", CASES)
def test_a_vector_gives_what_its_source_says(vector_id: str) -> None:
    profile, points = CASES[vector_id]
    vector = VECTORS[vector_id]
    found = readings(*arguments(vector, profile))
    said = [item for item in vector["expect"] if item["name"] in points]
    assert said
    for item in said:
        reading = found[points[item["name"]]]
        unit = UNITS.get(item["unit"], item["unit"])
        way = conversion(unit, reading["unit"]) if unit and reading["unit"] else None
        value = (
            item["value"] if way is None else pytest.approx(way.apply(item["value"]), abs=item.get("tolerance", 1e-9))
        )
        assert reading == {"value": value, "unit": reading["unit"], "quality": "good", "reason": None}


def test_a_value_outside_of_the_range_is_uncertain() -> None:
    vector = VECTORS["s8-out-of-range-capture"]
    expected = {"value": 8899, "unit": "[ppm]", "quality": "uncertain", "reason": "out_of_range"}
    assert readings(*arguments(vector, "senseair-s8")) == {"co2": expected}
    assert readings("--profile", "senseair-s8", "--frame", vector["response_hex"]) == {"co2": expected}
    assert readings("--profile", "senseair-s8", "--registers", "8899") == {"co2": expected}


def test_a_measurement_that_the_device_does_not_have_is_bad() -> None:
    found = readings("--profile", "vaisala-gmp252", "--registers", "0,32704")
    assert found == {"co2": {"value": None, "unit": "[ppm]", "quality": "bad", "reason": "sensor_fault"}}


def test_a_status_register_judges_the_value_beside_it() -> None:
    assert readings("--profile", "senseair-s8", "--registers", "0,0,0,412")["co2"]["value"] == 412
    faulty = readings("--profile", "senseair-s8", "--registers", "1,0,0,412")
    assert list(faulty) == ["co2"]
    assert (faulty["co2"]["value"], faulty["co2"]["reason"]) == (None, "sensor_fault")


@pytest.mark.parametrize("vector_id", ["wxt-r0-all-invalid-wind", "neg-nmea-void"])
def test_what_a_line_itself_calls_invalid_is_bad(vector_id: str) -> None:
    profile = "nmea-wind" if "nmea" in vector_id else "vaisala-wxt530"
    found = readings(*arguments(VECTORS[vector_id], profile))
    assert found["wind_speed"]["value"] is None
    assert found["wind_speed"]["quality"] == "bad"


REFUSED = [
    ("neg-myduino-7in1-crc", "soil-7-in-1", "89bf would be right"),
    ("neg-xymd02-hum-crc", "xy-md02", "CRC"),
    ("neg-thcs-crc", "cwt-soil-thc-s", "CRC"),
    ("neg-soil-doc-crc-2", "soil-4-in-1", "CRC"),
    ("neg-soil-doc-crc-3", "soil-4-in-1", "CRC"),
    ("neg-exception-illegal-address", "xy-md02", "exception 2"),
    ("neg-exception-gateway-target", "xy-md02", "exception 11"),
    ("neg-tasmota-invalid-json", "tasmota-aht1x", "no JSON"),
    ("ha-discovery-remove", "json-climate", "says nothing"),
    ("z2m-avail-json", "zigbee2mqtt-climate", "gone"),
    ("z2m-bridge-state", "zigbee2mqtt-climate", "gone"),
    ("esphome-status", "esphome-climate", "there"),
    ("neg-nmea-xdr-ck", "lcj-cv7", "checksum"),
    ("neg-pms-checksum", "plantower-pms5003", "checksum"),
    ("ezo-info-ph-lower", "ezo-ph", "another command"),
    ("ezo-error", "ezo-ph", "does not understand"),
    ("ezo-code-ov", "ezo-ph", "over voltage"),
    ("ezo-do-no-output", "ezo-do", "switched off"),
    ("sdi12-ctd10-m", "decagon-ctd-10", "asks for no values"),
    ("xymd02-write-id-baud", "xy-md02", "confirms a write"),
    ("sensecap-fc06", "xy-md02", "confirms a write"),
    ("sensecap-fc16", "xy-md02", "confirms a write"),
    ("lctech-close", "lctech-lc-modbus-relay", "confirms a write"),
    ("lctech-all-on", "lctech-lc-modbus-relay", "confirms a write"),
    ("y520-start", "yosemitech-y520", "confirms a write"),
]


@pytest.mark.parametrize(("vector_id", "profile", "sentence"), REFUSED)
def test_what_holds_no_readings_gives_a_sentence_and_never_a_number(
    vector_id: str, profile: str, sentence: str
) -> None:
    given = arguments(VECTORS[vector_id], profile)
    result = typed("decode", *given)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not result.stdout
    assert told("decode", *given, code=1) == {"error": result.stderr.strip()}


@pytest.mark.parametrize("vector_id", [name for name in CASES if "line" in VECTORS[name]])
def test_a_line_is_the_same_however_it_is_typed(vector_id: str) -> None:
    profile, _ = CASES[vector_id]
    vector = VECTORS[vector_id]
    whole = readings(*arguments(vector, profile))
    line: str = vector["line"]
    for text in (line.strip("\r\n"), line.replace("\r", r"\r").replace("\n", r"\n")):
        assert readings(*arguments({**vector, "line": text}, profile)) == whole
    assert readings("--profile", profile, "--frame", line.encode().hex(" ")) == whole


def test_what_a_line_does_not_speak_of_is_left_out() -> None:
    assert set(readings(*arguments(VECTORS["nmea-xdr-26"], "lcj-cv7"))) == {"outside_temperature"}
    assert set(readings(*arguments(VECTORS["nmea-mwv-ms"], "lcj-cv7"))) == {"wind_direction", "wind_speed"}


def test_an_answer_of_another_sdi12_address_is_none() -> None:
    result = typed("decode", "--profile", "meter-teros-12", "--line", "1+1807.82+21.0+1", "--request", "0D0!")
    assert result.exit_code == 1
    assert "comes from address 1" in result.stderr


def test_a_retained_message_is_stale_and_keeps_its_time() -> None:
    vector = VECTORS["tasmota-aht1x"]
    found = told("decode", *arguments(vector, "tasmota-aht1x"), "--retained", "--received-at", "2020-01-02T00:00:00Z")
    assert {reading["reason"] for reading in found["readings"].values()} == {"stale"}
    assert {reading["quality"] for reading in found["readings"].values()} == {"uncertain"}
    (sample,) = found["samples"]
    assert (sample["origin"], sample["measuredAt"]) == ("retained", "2020-01-01T00:00:00.000Z")


def test_a_stored_record_out_of_a_drawer_keeps_its_time() -> None:
    found = told("decode", *arguments(VECTORS["em300-th-history"], "milesight-em300-th"))
    (sample,) = found["samples"]
    assert (sample["origin"], sample["measuredAt"]) == ("history", "2022-10-12T08:02:38.000Z")
    assert sample["readings"] == found["readings"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("lctech-lc-modbus-relay", "--registers", "2,0"), "2 is no bit"),
        (
            ("xy-md02", "--frame", "010404013102222ace", "--request", "010400010002200b", "--start", "2"),
            "asked from 1 on",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(given: tuple[str, ...], sentence: str) -> None:
    result = typed("decode", "--profile", *given)
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_doubt_about_a_unit_does_not_stand_among_the_results() -> None:
    assert readings("--profile", "vaisala-wxt530", "--line", "0R2,Ta=5.5X")["outside_temperature"]["quality"] == "bad"


def test_a_value_that_no_greenhouse_has_is_uncertain_where_the_profile_gives_no_range() -> None:
    co2 = readings("--profile", "senseair-k30", "--registers", "30000")["co2"]
    assert (co2["value"], co2["reason"]) == (30_000, "out_of_range")


def test_points_that_are_not_published_are_shown_on_demand_only() -> None:
    vector = VECTORS["water-node-debug-line"]
    assert list(readings(*arguments(vector, "water-node"))) == ["water_level"]
    assert set(readings(*arguments(vector, "water-node"), "--all")) == {"water_level", "raw"}
    result = typed("decode", "--profile", "senseair-s8", "--registers", "0", "--start", "0")
    assert result.exit_code == 1
    assert "does not publish: meter_status" in result.stderr


def test_values_are_shown_with_their_symbols() -> None:
    result = typed("decode", "--profile", "xy-md02", "--registers", "305,546")
    assert result.stdout == "air_temperature    30.5 °C\nrelative_humidity  54.6 %\n"
    result = typed("decode", "--profile", "senseair-s8", "--registers", "8899")
    assert result.stdout == "co2  8899 ppm  (uncertain: out of range)\n"


def test_a_profile_of_ones_own_is_found_beside_the_site_file(tmp_path: Path) -> None:
    own = typed("profiles", "xy-md02", "--toml").stdout.replace('id = "xy-md02"', 'id = "clone"').replace("0.1", "0.01")
    (tmp_path / "clone.toml").write_text(own, encoding="utf-8")
    found = readings("--profile", "clone", "--beside", tmp_path, "--registers", "2150,5000")
    assert found["air_temperature"]["value"] == 21.5
    (tmp_path / "clone.toml").write_text(own.replace("0.01", '"often"'), encoding="utf-8")
    result = typed("decode", "--profile", "clone", "--beside", tmp_path, "--registers", "2150")
    assert result.exit_code == 78
    assert "scale" in result.stderr


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "--profile"),
        (["--profile", "xy-md02"], "one of --frame"),
        (["--profile", "xy-md02", "--registers", "1", "--line", "2"], "one of --frame"),
        (["--profile", "xy-md0", "--registers", "1"], "there is no profile 'xy-md0'"),
    ],
)
def test_a_verb_that_is_used_wrongly_says_how(given: list[str], sentence: str) -> None:
    result = typed("decode", *given)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_the_verb_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "edge", "decode", "--profile", "xy-md02", "--json"]
    done = subprocess.run([*command, "--registers", "305,546"], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout)["readings"]["air_temperature"]["value"] == 30.5
    # Bytes that are no text in any encoding.
    failed = subprocess.run([*command, b"--frame", b"01\xff"], capture_output=True, check=False, timeout=60)
    assert failed.returncode == 1
    assert "hexadecimal" in json.loads(failed.stdout)["error"]
