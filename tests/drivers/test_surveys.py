"""What a first look guesses from what it heard; nothing is asked here."""

import json
from functools import cache
from pathlib import Path

import pytest

from drivers.modbus import first_day as modbus_day
from drivers.modbus.survey import UnitFound, with_units
from drivers.mqtt import first_day as mqtt_day
from drivers.mqtt.device import Message
from drivers.mqtt.survey import with_speakers
from drivers.serial import first_day as serial_day
from drivers.serial.survey import PortFound, fits_of_words, with_instrument
from edge.cli.commission.first_look import Ids, best
from edge.domain.commissioning import DraftConnection, DraftDevice, Look
from edge.domain.driver import DriverContext
from edge.domain.fit import Fit, best_first
from edge.domain.settings import DeviceSettings
from edge.settings.specimen import load_specimens

CLIMATE = '{"temperature": 21.5, "humidity": 60}'


@cache
def models(driver: str) -> list[DeviceSettings]:
    return [specimen.device for specimen in load_specimens(driver, Path("/nowhere"))]


def look(driver: str) -> Look:
    return Look(
        context=DriverContext(),
        models=lambda: models(driver),
        choose=best,
        new_id=Ids().new,
        tick=lambda: None,
    )


def drafted(*messages: tuple[str, str]) -> list[DraftDevice]:
    heard = [Message(topic=topic, payload=text.encode(), received_at_ms=1_700_000_000_000) for topic, text in messages]
    return list(with_speakers(broker(), heard, look("mqtt")).devices)


def broker() -> DraftConnection:
    return mqtt_day.draft(mqtt_day.broker("broker.local"))


def facts(device: DraftDevice) -> dict[str, object]:
    return {key: value for key, value in device.keys.items() if key != "id"}


@pytest.mark.parametrize(
    ("topic", "payload", "profile", "own"),
    [
        ("office/sensor1", CLIMATE, "json-climate", "office/sensor1"),
        ("zigbee2mqtt/Bench 3/left", CLIMATE, "zigbee2mqtt-climate", "zigbee2mqtt/Bench 3/left"),
        ("tele/bench3/SENSOR", '{"SHT3X":{"Temperature":23.8,"Humidity":55.9}}', "tasmota-sht3x", "bench3"),
        ("a/status/humidity:0", '{"id": 0, "rh": 51.9}', "shelly-plus-ht", "a"),
        ("shellies/shelly1-X/relay/0", "on", "shelly-gen1-relay", "shellies/shelly1-X"),
        ("livingroom/sensor/humidity/state", "48.25", "esphome-climate", "livingroom"),
    ],
)
def test_a_message_finds_its_profile(topic: str, payload: str, profile: str, own: str) -> None:
    (device,) = drafted((topic, payload))
    assert facts(device) == {"profile": profile, "topic": own}
    assert device.comments[0].startswith("guessed: ")


def test_messages_of_one_device_on_several_topics_are_one_device() -> None:
    found = drafted(
        ("livingroom/sensor/humidity/state", "48.25"),
        ("livingroom/sensor/temperature/state", "21"),
        ("livingroom/status", "online"),
    )
    assert [facts(device)["topic"] for device in found] == ["livingroom"]


def test_devices_of_one_kind_become_a_group_with_their_names() -> None:
    (group,) = drafted(
        ("zigbee2mqtt/Bench 3/left", CLIMATE), ("zigbee2mqtt/weather", CLIMATE), ("zigbee2mqtt/bridge/state", "online")
    )
    assert group.is_group
    assert facts(group) == {
        "profile": "zigbee2mqtt-climate",
        "topic": "zigbee2mqtt/{name:any_depth}",
        "except": ["zigbee2mqtt/bridge/#", "zigbee2mqtt/+/availability"],
        "names": ("Bench 3/left", "weather"),
    }


def test_a_name_of_one_level_gives_a_narrow_pattern() -> None:
    uplink = json.dumps({"uplink_message": {"f_port": 85, "frm_payload": "AXVkA2cZAQRocwV/8AA="}})
    (group,) = drafted(("v3/app@ttn/devices/eui-1/up", uplink), ("v3/app@ttn/devices/eui-2/up", uplink))
    assert group.keys["topic"] == "v3/app@ttn/devices/{name}/up"
    (tasmota,) = drafted(*((f"tele/bench{number}/SENSOR", '{"DS18B20":{"Temperature":20.6}}') for number in (1, 2)))
    assert tasmota.keys["topic"] == "{name}"
    assert tasmota.keys["names"] == ("bench1", "bench2")


@pytest.mark.parametrize(
    "topics", [("office/a", "home/b"), ("a", "b"), ("x/a b", "x/A-b"), ("x/{name}", "x/b"), ("x/°", "x/b")]
)
def test_devices_that_no_narrow_pattern_tells_apart_stand_alone(topics: tuple[str, ...]) -> None:
    found = drafted(*((topic, CLIMATE) for topic in topics))
    assert not any(device.is_group for device in found)
    assert len({device.keys["id"] for device in found}) == len(topics)


def test_what_nobody_understands_is_only_counted() -> None:
    heard = [Message(topic=topic, payload=b"x", received_at_ms=0) for topic in ("a", "b", "a")]
    draft = with_speakers(broker(), heard, look("mqtt"))
    assert not draft.devices
    assert draft.comments == ["Topics that no profile of the package understands: 2."]


def port() -> DraftConnection:
    return serial_day.draft(serial_day.serial_port("/dev/p"))


def test_words_of_an_instrument_find_its_profile() -> None:
    heard = b"0.0kg\r\nST,GS,+00045.0kg\r\nST,GS,+00045.0kg\r\n"
    fits = fits_of_words(heard, models("serial"))
    assert fits[0].profile == "cas-scale"
    draft = with_instrument(port(), "/dev/p", PortFound(fits=fits), look("serial"))
    assert facts(draft.devices[0]) == {"profile": "cas-scale"}
    assert not fits_of_words(b"\xff\x80\x01", models("serial"))
    assert not fits_of_words(b"", models("serial"))


def test_words_that_nobody_understands_are_quoted() -> None:
    found = PortFound(words="hello world")
    draft = with_instrument(port(), "/dev/p", found, look("serial"))
    assert draft.comments == ["It said: hello world"]
    assert not draft.devices


def test_more_evidence_comes_first_then_what_else_speaks_for_it() -> None:
    fits = [
        Fit(profile="c", evidence=2, points=4),
        Fit(profile="b", evidence=2, points=2),
        Fit(profile="a", evidence=1, points=1),
        Fit(profile="d", evidence=2, points=9, bonus=1),
    ]
    assert [fit.profile for fit in best_first(fits)] == ["d", "b", "c", "a"]
    assert best("unit 1", []) is None


def test_units_become_devices_and_those_unknown_a_comment() -> None:
    fits = [Fit(profile="xy-md02", evidence=2, points=2), Fit(profile="clone", evidence=1, points=2)]
    found = [UnitFound(unit=3, answer="answered", fits=fits), UnitFound(unit=9, answer="refused")]
    draft = with_units(modbus_day.draft(modbus_day.modbus_port("/dev/nowhere@19200/8e1")), found, look("modbus"))
    assert draft.keys["baud_rate"] == 19200
    assert draft.keys["format"] == "8E1"
    (device,) = draft.devices
    assert device.keys == {"id": "xy-md02-3", "profile": "xy-md02", "address": 3}
    assert device.comments == ["guessed: 2 of 2 points give plausible values. Also possible: clone."]
    (comment,) = draft.comments
    assert comment.startswith("Unit 9 answered (refused); no profile of the package fits")


def test_ids_are_given_once_and_are_ids_whatever_they_are_made_of() -> None:
    ids = Ids()
    assert [ids.new("xy-1"), ids.new("xy-1"), ids.new("°"), ids.new(""), ids.new("a" * 200)] == [
        "xy-1",
        "xy-1-2",
        "device",
        "device-2",
        "a" * 60,
    ]
