from pathlib import Path

import pytest

from drivers.mqtt.options import (
    AvailabilityTopic,
    MqttConnectionOptions,
    MqttDeviceOptions,
    MqttPointOptions,
    PayloadTime,
)


@pytest.mark.parametrize(
    "options",
    [
        MqttConnectionOptions(url="mqtt://broker.local"),
        MqttConnectionOptions(url="mqtts://[::1]:8884/", keep_alive_s=5),
        MqttDeviceOptions(topic="zigbee2mqtt/{name:any_depth}"),
        MqttDeviceOptions(topic="a", subscribe=("tele/{topic}/+", "stat/{topic}/#")),
        MqttDeviceOptions(subscribe=("all/of/it",)),
        MqttDeviceOptions(topic="up", payload="milesight-tlv", model="uc511", envelope="the-things-stack"),
        MqttDeviceOptions(topic="up", payload="sensecap", time=PayloadTime(path=""), envelope="chirpstack"),
        MqttPointOptions(path='"temperature:0".tC', topic="{topic}/x"),
    ],
)
def test_what_goes_together_is_taken(options: MqttConnectionOptions | MqttDeviceOptions | MqttPointOptions) -> None:
    assert options.mistakes() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (MqttConnectionOptions(url="broker.local"), "url is 'broker.local'; write it like 'mqtt://"),
        (MqttConnectionOptions(url="http://broker"), "url is 'http://broker'; write it like 'mqtt://"),
        (MqttConnectionOptions(url="mqtt://broker:0"), "url is 'mqtt://broker:0'; write it like 'mqtt://"),
        (MqttConnectionOptions(url="mqtt://broker:99999"), "url is 'mqtt://broker:99999'; write it like 'mqtt://"),
        (MqttConnectionOptions(url="mqtt://broker/path"), "url is 'mqtt://broker/path'; write it like 'mqtt://"),
        (MqttConnectionOptions(url="mqtt://me:secret@broker"), "url must not hold user and password"),
        (MqttConnectionOptions(url="mqtt://b", keep_alive_s=1), "keep_alive_s is 1; it must be from 5 to 65535"),
        (MqttConnectionOptions(url="mqtt://b", inflight_max=0), "inflight_max is 0; it must be from 1 to 65535"),
        (MqttConnectionOptions(url="mqtt://b", session_expiry_s=0), "session_expiry_s is 0; it must be from 1"),
        (MqttDeviceOptions(), "topic is missing: the device's part of its topics"),
        (MqttDeviceOptions(topic="a/#/b"), "subscribe has the topic 'a/#/b'; it may hold # only"),
        (MqttDeviceOptions(topic="a", subscribe=("x+/{topic}",)), "subscribe has the topic 'x+/a'; it may hold +"),
        (
            MqttDeviceOptions(topic="a", availability=(AvailabilityTopic(topic="#/{topic}"),)),
            "availability has the topic '#/a'",
        ),
        (
            MqttDeviceOptions(topic="a", availability=(AvailabilityTopic(topic="a", path="x."),)),
            "availability path is 'x.': at character 3 a key is expected",
        ),
        (
            MqttDeviceOptions(topic="a", availability=(AvailabilityTopic(topic="a", online=("1",), offline=("1",)),)),
            "availability has '1' under online and under offline",
        ),
        (
            MqttDeviceOptions(topic="a", payload="milesight-tlv"),
            'model goes with payload "milesight-tlv"; one of em300',
        ),
        (MqttDeviceOptions(topic="a", model="uc511"), 'model goes with payload "milesight-tlv"'),
        (
            MqttDeviceOptions(topic="a", payload="sensecap", envelope="tasmota"),
            'envelope "tasmota" carries no bytes; payload "sensecap" needs some',
        ),
        (
            MqttDeviceOptions(topic="a", payload="text", envelope="zigbee2mqtt"),
            'envelope "zigbee2mqtt" is JSON; payload "text" is not',
        ),
        (
            MqttDeviceOptions(topic="a", payload="text", identity=("seq",)),
            'payload "text" without an envelope has no place for time and identity',
        ),
        (MqttDeviceOptions(topic="a", identity=("a..b",)), "identity is 'a..b': at character 3 a key is expected"),
        (MqttDeviceOptions(topic="a", time=PayloadTime(path="[")), "time.path is '[': at character 1 an item"),
        (
            MqttDeviceOptions(topic="a", time=PayloadTime(path="at", time_zone="Mars/Phobos")),
            "time.time_zone is 'Mars/Phobos'; write it like 'Europe/Amsterdam'",
        ),
        (MqttDeviceOptions(topic="a", time=PayloadTime(path="at", past_max_s=-1)), "time.past_max_s is -1; it must be"),
        (MqttPointOptions(path="a b"), "path is 'a b': at character 2 a dot or [ is expected"),
        (MqttPointOptions(topic="{topic}/a#"), "topic has the topic 'topic/a#'; it may hold #"),
        (MqttPointOptions(scale=0), "scale is 0"),
    ],
)
def test_what_does_not_go_together_is_told(
    options: MqttConnectionOptions | MqttDeviceOptions | MqttPointOptions, said: str
) -> None:
    (sentence,) = options.mistakes()
    assert sentence.startswith(said)


def test_certificates_are_for_tls_and_a_pair() -> None:
    options = MqttConnectionOptions(url="mqtt://b", client_certificate=Path("a.pem"))
    assert options.mistakes() == [
        "client_certificate is for TLS, and the url says mqtt://; with TLS it starts with mqtts://",
        "client_certificate and client_key go together",
    ]


@pytest.mark.parametrize("pattern", ["zigbee2mqtt/{name:any_depth}", "zigbee2mqtt/{name}"])
def test_a_member_of_a_group_has_its_name_in_its_topic(pattern: str) -> None:
    options = MqttDeviceOptions(topic=pattern).for_member("Bench 3/left")
    assert options.resolved("{topic}/availability") == "zigbee2mqtt/Bench 3/left/availability"


def test_the_same_device_is_known_by_its_topic() -> None:
    left = MqttDeviceOptions(topic="zigbee2mqtt/{name}").for_member("left")
    assert left.is_same_device(MqttDeviceOptions(topic="zigbee2mqtt/left", subscribe=("{topic}/state",)))
    for other in (MqttDeviceOptions(topic="zigbee2mqtt/right"), "zigbee2mqtt/left"):
        assert not left.is_same_device(other)
    # Whose points have topics of their own.
    assert not MqttDeviceOptions().is_same_device(MqttDeviceOptions())
