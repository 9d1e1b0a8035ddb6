"""What `check` says of a connection to a broker."""

from collections.abc import Callable
from typing import Any

import pytest

import drivers
from drivers.mqtt.options import MqttConnectionOptions
from edge.domain.device_group import member
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings
from fakes.mqtt_connection import connection, device, group

KIND = drivers.driver_kind("mqtt")
LOCAL = MqttConnectionOptions(url="mqtt://127.0.0.1")


def said(
    asked: Callable[[ConnectionSettings], Any],
    *devices: DeviceSettings,
    groups: tuple[DeviceGroup, ...] = (),
    options: MqttConnectionOptions = LOCAL,
) -> list[tuple[str, str]]:
    return list(asked(connection(options, *devices, groups=groups)))


def test_a_connection_that_is_in_order_gives_no_word() -> None:
    zigbee = group("z-{name}", "zigbee2mqtt/{name:any_depth}", exclude=["zigbee2mqtt/bridge/#"], names=["a"])
    devices = (device("bench", "house/bench"), device("tank", "zigbee2mqtt/tank"))
    assert said(KIND.mistakes, *devices, groups=(zigbee,)) == []
    assert said(KIND.cautions, *devices, groups=(zigbee,)) == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (group("z-{name}", "zigbee2mqtt"), "topic is 'zigbee2mqtt'; in a device_group it holds {name}"),
        (group("z-{name}", "z/{name}", subscribe=["z/all"]), "subscribe has no topic with {topic}"),
        (group("z-{name}", "z/{name}", exclude=["z/#/x"]), "except has 'z/#/x'; it may hold #"),
        (group("z-{name}", "z/{name}", names=["a+b"]), "names has 'a+b'"),
    ],
)
def test_a_group_that_can_name_nobody_is_a_mistake(wrong: DeviceGroup, sentence: str) -> None:
    [(device_id, found)] = said(KIND.mistakes, groups=(wrong,))
    assert device_id == "z-{name}"
    assert found.startswith(sentence)


def test_a_place_for_names_outside_a_group_is_a_mistake() -> None:
    [(device_id, found)] = said(KIND.mistakes, device("bench", "house/{name}"))
    assert (device_id, found) == ("bench", "topic is 'house/{name}'; only a device_group has a place for names")


def test_a_password_that_crosses_the_network_readable_is_warned_of() -> None:
    for url, is_readable in (
        ("mqtt://broker.local", True),
        ("mqtts://broker.local", False),
        ("mqtt://localhost", False),
        ("mqtt://[::1]:1884", False),
    ):
        found = said(KIND.cautions, options=MqttConnectionOptions(url=url, credential="broker"))
        assert [sentence.startswith("url ") for _, sentence in found] == [True] * is_readable, url


def test_a_name_that_is_a_device_by_another_id_is_warned_of() -> None:
    zigbee = group("z-{name}", "zigbee2mqtt/{name}", names=["tank", "bench"])
    devices = (device("tank", "zigbee2mqtt/tank"), *(member(zigbee, name) for name in zigbee.names))
    [(group_id, found)] = said(KIND.cautions, *devices, groups=(zigbee,))
    assert (group_id, found.split(":")[0]) == (
        "z-{name}",
        "names has 'tank', and the device tank has its topic",
    )


def test_topics_that_overlap_in_part_are_warned_of_where_mqtt_5_brings_them_twice() -> None:
    devices = (device("a", "house/+/state"), device("b", "house/bench/+"), device("c", "house/bench/x"))
    [(_, found)] = said(KIND.cautions, *devices)
    assert found.startswith("the topics house/+/state and house/bench/+ overlap")
    assert said(KIND.cautions, *devices, options=MqttConnectionOptions(url=LOCAL.url, protocol="3.1.1")) == []
