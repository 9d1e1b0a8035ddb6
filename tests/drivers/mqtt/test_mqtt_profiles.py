"""Every packaged MQTT profile is valid, and says of real payloads what their documents say."""

import base64
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from drivers.decoders.json_path import parse_path
from drivers.mqtt.device import DeviceMessages, Message
from edge.domain.quantity import conversion
from edge.domain.reading import Quality, Value
from fakes.mqtt_site import LoadSite, profile_messages

VECTOR_FOLDER = Path(__file__).parents[1] / "vectors"
PROFILE_FOLDER = Path(__file__).parents[3] / "drivers" / "profiles"
VECTORS = {
    vector["id"]: vector
    for name in ("mqtt", "lorawan_bytes")
    for vector in json.loads((VECTOR_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
}
# The vectors' units in UCUM.
UNITS = {"degC": "Cel", "%RH": "%", "ppm": "[ppm]", "": None}

CLIMATE = {"temperature": "air_temperature", "humidity": "relative_humidity", "dew_point": "dew_point"}
BATTERY = {"battery": "battery_level"}


def mqtt_profiles() -> list[str]:
    texts = {file.stem: file.read_text(encoding="utf-8") for file in PROFILE_FOLDER.glob("*.toml")}
    return sorted(name for name, text in texts.items() if tomllib.loads(text)["profile"]["driver"] == "mqtt")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A vector, the profile that is for it, the device's part of the topic, and the points that its names mean."""

    vector: str
    profile: str
    topic: str
    points: Mapping[str, str]


# How public captures write a name that is nobody's business.
HIDDEN = "X" * 6

CASES = [
    Case(vector="tasmota-aht1x", profile="tasmota-aht1x", topic="tasmota", points=CLIMATE),
    Case(vector="tasmota-ds18b20-1", profile="tasmota-ds18b20", topic="tasmota", points={"temperature": "temperature"}),
    Case(vector="tasmota-si7021", profile="tasmota-si7021", topic=HIDDEN, points=CLIMATE),
    Case(vector="tasmota-dht-strings", profile="tasmota-dht", topic="sonoff", points=CLIMATE),
    Case(vector="tasmota-analog-neg", profile="tasmota-analog-ntc", topic="x", points={"temperature": "temperature"}),
    Case(
        vector="z2m-th",
        profile="zigbee2mqtt-climate",
        topic="zigbee2mqtt/greenhouse/bench1",
        points=CLIMATE,
    ),
    Case(
        vector="z2m-thp",
        profile="zigbee2mqtt-climate",
        topic="zigbee2mqtt/weather_sensor",
        points={**CLIMATE, **BATTERY, "pressure": "air_pressure", "battery_voltage": "battery_voltage"},
    ),
    Case(vector="z2m-state", profile="zigbee2mqtt-switch", topic="zigbee2mqtt/light", points={"state": "state"}),
    Case(
        vector="shelly-plus-ht-full",
        profile="shelly-plus-ht",
        topic="shellyplusht-b8d61a8b17cc",
        points={**CLIMATE, "external_power": "external_power"},
    ),
    Case(
        vector="shelly-gen2-status-hum",
        profile="shelly-plus-ht",
        topic="shellies/shellyplusht-xxx",
        points={"humidity": "relative_humidity"},
    ),
    Case(
        vector="shelly-switch",
        profile="shelly-switch",
        topic="shelly1minig4-ccba97c08c34",
        points={"output": "relay", "device_temperature": "device_temperature"},
    ),
    Case(
        vector="shelly-gen1-relay",
        profile="shelly-gen1-relay",
        topic=f"shellies/shelly1-{HIDDEN}",
        points={"relay": "relay"},
    ),
    Case(vector="ha-dht-state", profile="json-climate", topic="office/sensor1", points=CLIMATE),
    Case(
        vector="em500-smtc",
        profile="milesight-em500-smtc",
        topic="v3/app@ttn/devices/eui-1/up",
        points={**BATTERY, "temperature": "substrate_temperature", "humidity": "water_content", "ec": "ec"},
    ),
    Case(vector="em300-th-history", profile="milesight-em300-th", topic="v3/a/devices/b/up", points=CLIMATE),
    Case(
        vector="em500-co2",
        profile="milesight-em500-co2",
        topic="v3/a/devices/b/up",
        points={**BATTERY, **CLIMATE, "co2": "co2", "pressure": "air_pressure"},
    ),
    Case(
        vector="em500-lgt",
        profile="milesight-em500-lgt",
        topic="v3/a/devices/b/up",
        points={**BATTERY, "illumination": "illuminance"},
    ),
    Case(
        vector="em500-udl",
        profile="milesight-em500-udl",
        topic="v3/a/devices/b/up",
        points={**BATTERY, "distance": "distance"},
    ),
]


def payload_of(vector: Mapping[str, str]) -> bytes:
    if "payload" in vector:
        return vector["payload"].encode()
    return json.dumps({"uplink_message": {"f_port": 85, "frm_payload": vector["frm_payload_base64"]}}).encode()


def arrival(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def values_of(messages: DeviceMessages, topic: str, payload: bytes) -> dict[str, Value | None]:
    message = Message(topic=topic, payload=payload, received_at_ms=arrival("2023-01-15T00:00:00Z"))
    (sample,) = messages.decode(message)
    return {point: reading.value for point, reading in sample.readings.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.vector)
def test_a_profile_decodes_its_vectors(case: Case, load_site: LoadSite) -> None:
    vector = VECTORS[case.vector]
    messages = profile_messages(load_site, case.profile, case.topic)
    message = Message(
        topic=vector.get("topic", case.topic),
        payload=payload_of(vector),
        received_at_ms=arrival("2023-01-15T00:00:00Z"),
    )
    (sample,) = messages.decode(message)
    said = [item for item in vector["expect"] if item["name"] in case.points]
    assert said
    for item in said:
        reading = sample.readings[case.points[item["name"]]]
        assert reading.quality is Quality.GOOD
        unit = UNITS.get(item["unit"], item["unit"])
        way = None if unit is None or reading.unit is None else conversion(unit, reading.unit)
        assert reading.value == (item["value"] if way is None else pytest.approx(way.apply(item["value"]), abs=1e-9))


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS.values() if any("path" in item for item in vector["expect"])],
    ids=lambda v: v["id"],
)
def test_a_path_can_be_written_for_every_value_of_the_vectors(vector: dict[str, list[dict[str, object]]]) -> None:
    document = json.loads(str(vector["payload"]))
    for item in vector["expect"]:
        steps = item["path"]
        assert isinstance(steps, list)
        parts = [f"[{step}]" if isinstance(step, int) else f".{json.dumps(step)}" for step in steps]
        assert parse_path("".join(parts).lstrip(".")).find(document) == item.get("raw_value", item["value"])


UPLINKS = [
    ("milesight-em500-swl", "01756403770200", {"water_level": 20.0, "battery_level": 100}),
    ("milesight-em500-pt100", "03671901", {"temperature": 28.1}),
    ("milesight-uc511", "01755C03010104C805000000", {"valve_1": True, "valve_1_pulses": 5, "battery_level": 92}),
    ("sensecap-s2101", "0101109853000001 0210A87A0000AF51", {"air_temperature": 21.4, "relative_humidity": 31.4}),
    ("sensecap-s2102", "010310A8550200E3E9", {"illuminance": 153.0}),
    (
        "sensecap-s2103",
        "0101109853000001 0210A87A000001 0410A08601000000",
        {"air_temperature": 21.4, "relative_humidity": 31.4, "co2": 100.0},
    ),
    ("sensecap-s2104", "010610245E0000010710BCB10000A3D9", {"substrate_temperature": 24.1, "water_content": 45.5}),
    (
        "sensecap-s2105",
        "0106105C5D000001071048A30000010C10B4000000DD0A",
        {"substrate_temperature": 23.9, "water_content": 41.8, "ec": 0.18},
    ),
]


@pytest.mark.parametrize(("profile", "frame", "values"), UPLINKS, ids=[uplink[0] for uplink in UPLINKS])
def test_a_profile_decodes_its_uplink(profile: str, frame: str, values: dict[str, Value], load_site: LoadSite) -> None:
    messages = profile_messages(load_site, profile, "up")
    data = bytes.fromhex(frame)
    uplink = {"uplink_message": {"frm_payload": base64.b64encode(data).decode()}}
    assert values_of(messages, "up", json.dumps(uplink).encode()) == values
    (sample,) = messages.decode_frame(data, received_at_ms=arrival("2023-01-15T00:00:00Z"))
    assert {point: reading.value for point, reading in sample.readings.items()} == values


@dataclass(frozen=True, kw_only=True)
class Told:
    """A message as a device of this profile sends it, and what it means."""

    profile: str
    device: str
    topic: str
    payload: str
    values: Mapping[str, Value | None]


MESSAGES = [
    Told(
        profile="tasmota-sht3x",
        device="bench3",
        topic="tele/bench3/SENSOR",
        payload='{"SHT3X":{"Temperature":23.8,"Humidity":55.9,"DewPoint":14.4},"TempUnit":"C"}',
        values={"air_temperature": 23.8, "relative_humidity": 55.9, "dew_point": 14.4},
    ),
    Told(
        profile="tasmota-bme280",
        device="bench3",
        topic="tele/bench3/SENSOR",
        payload='{"BME280":{"Temperature":68.0,"Humidity":50,"DewPoint":48.2,"Pressure":750.0},'
        '"PressureUnit":"mmHg","TempUnit":"F"}',
        values={
            "air_temperature": 20.0,
            "relative_humidity": 50,
            "dew_point": 9.0,
            "air_pressure": 999.9179056125,
        },
    ),
    Told(
        profile="zigbee2mqtt-soil",
        device="zigbee2mqtt/Bench 3/left",
        topic="zigbee2mqtt/Bench 3/left",
        payload='{"soil_moisture":37,"temperature":19.5,"temperature_unit":"celsius","battery":88,"linkquality":120}',
        values={"water_content": 37, "substrate_temperature": 19.5, "battery_level": 88},
    ),
    Told(
        profile="esphome-climate",
        device="livingroom",
        topic="livingroom/sensor/humidity/state",
        payload="48.25",
        values={"relative_humidity": 48.25},
    ),
    Told(
        profile="esphome-climate",
        device="livingroom",
        topic="livingroom/sensor/temperature/state",
        payload="nan",
        values={"air_temperature": None},
    ),
    Told(
        profile="shelly-gen1-relay",
        device="shellies/shelly1-X",
        topic="shellies/shelly1-X/relay/0",
        payload="off",
        values={"relay": False},
    ),
]


@pytest.mark.parametrize("told", MESSAGES, ids=lambda told: told.profile)
def test_a_profile_decodes_its_message(told: Told, load_site: LoadSite) -> None:
    messages = profile_messages(load_site, told.profile, told.device)
    assert values_of(messages, told.topic, told.payload.encode()) == told.values


def test_every_mqtt_profile_decodes_something_here() -> None:
    tested = {case.profile for case in CASES} | {uplink[0] for uplink in UPLINKS} | {told.profile for told in MESSAGES}
    assert tested == set(mqtt_profiles())
