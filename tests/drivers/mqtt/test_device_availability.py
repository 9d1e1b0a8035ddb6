"""Whether a device is there, as its availability topics say."""

import pytest

from drivers.mqtt.device import Message
from fakes.mqtt_site import EC_AND_PH, VECTORS, LoadSite, messages_of, profile_messages, said


def test_a_device_is_there_while_no_topic_says_otherwise(load_site: LoadSite) -> None:
    device = profile_messages(load_site, "zigbee2mqtt-climate", "zigbee2mqtt/bench1")
    own, bridge = "zigbee2mqtt/bench1/availability", "zigbee2mqtt/bridge/state"
    assert device.availability(said(own, "online")) is True
    assert device.availability(said(bridge, {"state": "offline"})) is False
    assert device.availability(said(own, {"state": "online"})) is False
    assert device.availability(said(bridge, "online")) is True
    assert device.availability(said(own, "offline")) is False
    assert device.availability(said(bridge, {"state": "online"})) is False


@pytest.mark.parametrize("vector_id", ["z2m-avail-text", "z2m-avail-json", "z2m-bridge-state"])
def test_both_ways_of_saying_it_are_understood(vector_id: str, load_site: LoadSite) -> None:
    vector = VECTORS[vector_id]
    device = profile_messages(load_site, "zigbee2mqtt-climate", "zigbee2mqtt/bench1")
    message = said(vector["topic"], vector["payload"], is_retained=True)
    assert device.availability(message) is vector["expect"][0]["value"]
    assert device.decode(message) == ()


@pytest.mark.parametrize("payload", ["", "ONLINE", "{", '{"state":', '{"state":["online"]}', "\udcff", "[]"])
def test_other_words_say_nothing(payload: str, load_site: LoadSite) -> None:
    device = profile_messages(load_site, "zigbee2mqtt-climate", "zigbee2mqtt/bench1")
    topic = "zigbee2mqtt/bench1/availability"
    data = payload.encode(errors="surrogateescape")
    assert device.availability(Message(topic=topic, payload=data, received_at_ms=0)) is None
    assert device.availability(said("zigbee2mqtt/bench1", {"state": "offline"})) is None


@pytest.mark.parametrize(
    ("profile", "topic", "word", "is_there"),
    [
        ("tasmota-dht", "tele/x/LWT", "Online", True),
        ("tasmota-dht", "tele/x/LWT", "Offline", False),
        ("shelly-gen1-relay", "x/online", "true", True),
        ("shelly-switch", "x/online", "false", False),
        ("esphome-climate", "x/status", "online", True),
    ],
)
def test_every_firmware_has_its_words(profile: str, topic: str, word: str, is_there: bool, load_site: LoadSite) -> None:
    assert profile_messages(load_site, profile, "x").availability(said(topic, word)) is is_there


def test_a_whole_payload_may_be_the_word(load_site: LoadSite) -> None:
    words = """[{ topic = "lwt", online = ['{"alive":true}'], offline = ['{"alive":false}'] }]"""
    device = messages_of(load_site, f'topic = "node"\navailability = {words}\n{EC_AND_PH}')
    assert device.availability(said("lwt", '{"alive":true}')) is True
    assert device.availability(said("lwt", '{"alive":false}')) is False


def test_a_word_on_a_subscribed_topic_is_no_payload(load_site: LoadSite) -> None:
    device = messages_of(
        load_site, 'topic = "node"\nsubscribe = ["node/#"]\navailability = [{ topic = "node/lwt" }]\n' + EC_AND_PH
    )
    assert device.filters == ("node/#", "node/lwt")
    assert device.decode(said("node/lwt", "online")) == ()
