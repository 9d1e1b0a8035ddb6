from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.device_group import identifier_part, is_id_template, member, member_id, possible_member
from edge.domain.identifier import is_identifier
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    topic: str

    def for_member(self, name: str) -> "Topic":
        return Topic(topic=self.topic.replace("{name}", name))

    def is_same_device(self, other: object) -> bool:
        return self == other


def group(group_id: str = "zigbee-{name}", *, name: str = "", adopt: bool = True) -> DeviceGroup:
    template = DeviceSettings(
        id=group_id,
        name=name,
        points=(),
        poll_interval_s=10,
        max_silence_s=600,
        options=Topic(topic="zigbee2mqtt/{name}"),
    )
    return DeviceGroup(template=template, adopt=adopt, devices_max=10)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Bench 3/left", "bench-3-left"),
        ("0x00158d0001", "0x00158d0001"),
        ("Gewächshaus", "gew-chshaus"),
        ("under_score", "under_score"),
        ("--a..b--", "a-b"),
        ("!?", ""),
    ],
)
def test_a_name_becomes_a_part_of_an_id(name: str, part: str) -> None:
    assert identifier_part(name) == part


@given(st.text())
def test_what_a_name_gives_is_an_id_or_nothing(name: str) -> None:
    device_id = member_id(group(), name)
    assert device_id is None or is_identifier(device_id)


def test_a_name_that_leaves_nothing_or_too_much_gives_no_id() -> None:
    assert member_id(group("{name}"), "!!") is None
    assert member_id(group("{name}"), "x" * 64) == "x" * 64
    assert member_id(group("{name}"), "x" * 65) is None


def test_a_member_has_its_own_id_name_and_options() -> None:
    device = member(group(), "Bench 3")
    assert (device.id, device.name, device.options) == ("zigbee-bench-3", "Bench 3", Topic(topic="zigbee2mqtt/Bench 3"))
    assert member(group(name="Climate of {name}"), "Bench 3").name == "Climate of Bench 3"


@pytest.mark.parametrize("text", ["{name}", "zigbee-{name}", "{name}-air"])
def test_a_template_of_ids_has_the_name_once(text: str) -> None:
    assert is_id_template(text)


@pytest.mark.parametrize("text", ["", "zigbee", "{name}{name}", "{id}-{name}", "Zigbee-{name}", "a.{name}", "-{name}"])
def test_anything_else_is_no_template_of_ids(text: str) -> None:
    assert not is_id_template(text)


@pytest.mark.parametrize(
    ("adopt", "device_id", "is_possible"),
    [
        (True, "zigbee-bench-3", True),
        (True, "zigbee-", False),
        (True, "zigbee-bench--3", False),
        (True, "lora-bench-3", False),
        (False, "zigbee-bench-3", False),
    ],
)
def test_an_id_may_be_that_of_an_adopted_device(adopt: bool, device_id: str, is_possible: bool) -> None:
    line = ConnectionSettings(id="broker", driver="mqtt", options=None, devices=(), groups=(group(adopt=adopt),))
    device = possible_member([line], device_id)
    assert (device is not None and device.id == device_id) == is_possible
