from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed, device_on_topic
from drivers.mqtt.options import MqttDeviceOptions
from edge.domain.reading import Quality, Reason
from edge.domain.settings import DeviceSettings
from edge.settings.problems import ConfigurationInvalid
from fakes.mqtt_site import (
    EC_AND_PH,
    FLAT,
    NOON_MS,
    SITE,
    VECTORS,
    LoadSite,
    messages_of,
    mqtt_device,
    only,
    profile_messages,
    said,
    values,
)

Messages = Callable[[str], DeviceMessages]


@pytest.fixture
def messages(load_site: LoadSite) -> Messages:
    return lambda text: messages_of(load_site, text)


def test_a_message_says_only_what_it_speaks_of(messages: Messages) -> None:
    device = messages(FLAT)
    assert values(only(device, said("bench1", {"ec": 2.1, "ph": 5.8}))) == {"ec": 2.1, "ph": 5.8}
    assert values(only(device, said("bench1", {"ph": 5.9}))) == {"ph": 5.9}
    assert device.decode(said("bench1", {"rssi": -70})) == ()


@pytest.mark.parametrize("payload", ["", '{"ec":'])
def test_what_comes_on_anothers_topic_is_not_even_looked_at(payload: str, messages: Messages) -> None:
    assert messages(FLAT).decode(said("bench2", payload)) == ()


def test_an_empty_payload_is_a_deletion_and_no_reading(messages: Messages) -> None:
    assert messages(FLAT).decode(said("bench1", "", is_retained=True)) == ()


def test_one_odd_value_costs_no_other(messages: Messages) -> None:
    for odd in (None, [1], {"x": 1}, "unavailable", True, float("nan")):
        sample = only(messages(FLAT), said("bench1", {"ec": odd, "ph": 5.8}))
        assert sample.readings["ec"].quality is Quality.BAD
        assert sample.readings["ec"].reason is Reason.SENSOR_FAULT
        assert sample.readings["ph"].value == 5.8


def test_a_broken_payload_is_refused_and_the_next_is_read(messages: Messages) -> None:
    device = messages("topic = 'tele/tasmota/SENSOR'\nenvelope = 'tasmota'\n[connection.device.point.ec]\n")
    vector = VECTORS["neg-tasmota-invalid-json"]
    with pytest.raises(PayloadMalformed, match="no JSON"):
        device.decode(said(vector["topic"], vector["payload"]))
    assert values(only(device, said(vector["topic"], {"ec": 2}))) == {"ec": 2}


def test_a_number_instead_of_json_is_told_as_such(messages: Messages) -> None:
    with pytest.raises(PayloadMalformed, match="the payload is a number, not a JSON object"):
        messages(FLAT).decode(said("bench1", "21.5"))


def test_many_devices_of_one_message_are_told_apart(messages: Messages) -> None:
    vector = VECTORS["tasmota-ds18b20-3"]
    device = messages("""\
topic = "tasmota"
envelope = "tasmota"
subscribe = ["tele/{topic}/SENSOR"]
[connection.device.point.water_temperature_tank]
path = '*[Id="0000059352D4"].Temperature'
unit = "Cel"
[connection.device.point.water_temperature_drain]
path = '*[Id="000005937C90"].Temperature'
unit = "Cel"
""")
    sample = only(device, said(vector["topic"], vector["payload"]))
    assert values(sample) == {"water_temperature_tank": 1.2, "water_temperature_drain": 22.5}


def test_a_point_with_its_own_topic_hears_nothing_else(messages: Messages) -> None:
    device = messages("""\
topic = "node"
payload = "text"
subscribe = ["{topic}/air"]
[connection.device.point.air_temperature]
unit = "Cel"
[connection.device.point.ec]
topic = "{topic}/+/ec"
""")
    assert device.filters == ("node/air", "node/+/ec")
    assert values(only(device, said("node/air", " 21.5\n"))) == {"air_temperature": 21.5}
    assert values(only(device, said("node/drip/ec", "2.1"))) == {"ec": 2.1}
    assert device.decode(said("node/ec", "2.1")) == ()


def test_a_device_with_a_wildcard_may_have_any_number_of_topics(messages: Messages) -> None:
    device = messages('topic = "farm/#"\n[connection.device.point.ec]\n')
    for number in range(200):
        assert values(only(device, said(f"farm/{number}/state", {"ec": number}))) == {"ec": number}


# LoRaWAN.


def test_an_uplink_that_the_server_decoded_is_read_by_paths(messages: Messages) -> None:
    device = messages('topic = "up"\nenvelope = "the-things-stack"\n' + EC_AND_PH)
    decoded = {"uplink_message": {"decoded_payload": {"ec": 2.1}, "frm_payload": "AQ=="}}
    assert values(only(device, said("up", decoded))) == {"ec": 2.1}
    with pytest.raises(PayloadMalformed, match="payload formatter"):
        device.decode(said("up", {"uplink_message": {"frm_payload": "AQ=="}}))


@pytest.mark.parametrize("document", [{"join_accept": {}}, {"uplink_message": {"f_cnt": 3}}])
def test_what_carries_no_payload_says_nothing(document: dict[str, object], load_site: LoadSite) -> None:
    assert profile_messages(load_site, "milesight-em300-th", "up").decode(said("up", document)) == ()
    assert profile_messages(load_site, "sensecap-s2105", "up").decode(said("up", document)) == ()


def test_bytes_may_come_without_an_envelope(messages: Messages) -> None:
    device = messages('profile = "milesight-em500-lgt"\ntopic = "lux"\nenvelope = "none"\n')
    frame = bytes.fromhex("039450000000")
    message = Message(topic="lux", payload=frame, received_at_ms=NOON_MS)
    assert values(only(device, message)) == {"illuminance": 80}


def test_a_device_without_a_radio_has_no_frames(messages: Messages) -> None:
    with pytest.raises(PayloadMalformed, match='the device sends payload "json", not bytes of a radio'):
        messages(FLAT).decode_frame(bytes(9), received_at_ms=NOON_MS)


def test_chirpstack_names_each_uplink(messages: Messages) -> None:
    device = messages('profile = "milesight-em500-lgt"\ntopic = "up"\nenvelope = "chirpstack"\n')
    document = {"deduplicationId": "3ac7", "time": "2024-05-01T11:59:58+00:00", "data": "A5RQAAAA"}
    sample = only(device, said("up", document))
    assert (values(sample), sample.measured_at_ms) == ({"illuminance": 80}, NOON_MS - 2000)
    assert sample.may_repeat


# By hand, and before the daemon starts.


@pytest.mark.parametrize(
    ("profile", "topic", "part"),
    [
        ("tasmota-sht3x", "stat/hall/2/STATUS8", "hall/2"),
        ("zigbee2mqtt-climate", "zigbee2mqtt/Bench 3/left", "zigbee2mqtt/Bench 3/left"),
        ("zigbee2mqtt-climate", "zigbee2mqtt/Bench 3/left/availability", "zigbee2mqtt/Bench 3/left"),
        ("shelly-plus-ht", "shellies/ht/status/humidity:0", "shellies/ht"),
        ("esphome-climate", "node/sensor/humidity/state", "node"),
    ],
)
def test_a_concrete_topic_tells_the_devices_part(profile: str, topic: str, part: str, load_site: LoadSite) -> None:
    device = without_topic(mqtt_device(load_site, f'profile = "{profile}"\ntopic = "x"\n'))
    found = device_on_topic(device, topic)
    assert found is not None
    assert isinstance(found.options, MqttDeviceOptions)
    assert found.options.topic == part


def test_a_topic_that_is_none_of_a_devices_tells_nothing(load_site: LoadSite) -> None:
    device = mqtt_device(load_site, 'profile = "tasmota-sht3x"\ntopic = "hall"\n')
    assert device_on_topic(device, "tele/hall/SENSOR") is device
    assert device_on_topic(without_topic(device), "zigbee2mqtt/hall") is None


def without_topic(device: DeviceSettings) -> DeviceSettings:
    assert isinstance(device.options, MqttDeviceOptions)
    return replace(device, options=replace(device.options, topic=""))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f'topic = "t"\nsubscribe = []\n{EC_AND_PH}', "subscribe is empty, and point 'ec' has no topic of its own"),
        (
            'topic = "t"\npayload = "text"\n[connection.device.point.ec]\npath = "x"\n',
            "payload is \"text\": the whole of it is the value, and point 'ec' has a path into it",
        ),
        (
            'subscribe = []\n[connection.device.point.ec]\ntopic = "{topic}/ec"\n',
            "topic is missing: point 'ec' has the topic '{topic}/ec'",
        ),
    ],
)
def test_points_that_do_not_go_with_their_device_are_told(text: str, sentence: str, load_site: LoadSite) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        mqtt_device(load_site, text)
    assert sentence in str(caught.value)


def test_the_mistakes_of_a_group_are_told_once(load_site: LoadSite) -> None:
    point = '[connection.device_group.point.ec]\npath = "x"\n'
    text = f'id = "n-{{name}}"\ntopic = "n/{{name}}"\nnames = ["a", "b"]\npayload = "text"\n{point}'
    with pytest.raises(ConfigurationInvalid) as caught:
        load_site(SITE.replace('[[connection.device]]\nid = "probe"\n', "[[connection.device_group]]\n") + text)
    assert str(caught.value).count("has a path into it") == 1
