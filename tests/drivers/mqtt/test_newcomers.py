"""Which names become devices, and what is said of the others."""

from drivers.mqtt.device import Message
from drivers.mqtt.newcomers import SEEN_MAX, Newcomers
from drivers.mqtt.options import MqttConnectionOptions
from edge.domain.device_group import member
from edge.domain.settings import DeviceGroup, DeviceSettings
from fakes.mqtt_connection import connection, device, group


def newcomers(*groups: DeviceGroup, devices: tuple[DeviceSettings, ...] = (), says_something: bool = True) -> Newcomers:
    options = MqttConnectionOptions(url="mqtt://127.0.0.1")
    return Newcomers(connection(options, *devices, groups=groups), lambda _device, _message: says_something)


def message(topic: str, *, at_ms: int = 1, is_retained: bool = False) -> Message:
    return Message(topic=topic, payload=b"1", is_retained=is_retained, received_at_ms=at_ms)


def reasons(names: Newcomers) -> dict[str, str]:
    return {seen.name: seen.reason for seen in names.seen()}


def test_a_topic_of_no_group_is_nobodys() -> None:
    names = newcomers(group("z-{name}", "z/{name}", devices_max=5))
    assert not names.look(message("other/a"))
    assert not names.seen()
    assert names.filters == ("z/+",)


def test_what_a_group_leaves_out_is_not_seen() -> None:
    zigbee = group("z-{name}", "z/{name:any_depth}", devices_max=5, exclude=["z/bridge/#", "z/+/availability"])
    names = newcomers(zigbee)
    for topic in ("z/bridge", "z/bridge/state", "z/lamp/availability"):
        assert not names.look(message(topic))
    assert not names.seen()
    assert names.look(message("z/lamp"))


def test_a_name_without_an_id_is_only_seen() -> None:
    names = newcomers(group("{name}", "z/{name}", devices_max=5))
    for name in ("°°", "x" * 65):
        assert not names.look(message(f"z/{name}"))
    assert set(reasons(names).values()) == {"gives no valid id"}


def test_a_name_whose_id_another_device_has_is_only_seen() -> None:
    names = newcomers(
        group("z-{name}", "z/{name}", devices_max=5), group("z-{name}", "y/{name}", devices_max=5),
        devices=(device("z-tank", "house/tank"),),
    )  # fmt: skip
    assert not names.look(message("z/Tank"))
    assert names.look(message("z/Bench 3"))
    assert not names.look(message("z/bench-3"))
    assert not names.look(message("y/Bench 3"))
    assert reasons(names) == {
        "Tank": "gives the id z-tank, which another device has",
        "bench-3": "gives the id z-bench-3, which another device has",
        "Bench 3": "gives the id z-bench-3, which another device has",
    }


def test_a_name_belongs_to_the_group_whose_profile_it_speaks() -> None:
    climate = group("climate-{name}", "z/{name}", devices_max=5)
    soil = group("soil-{name}", "z/{name}", devices_max=5)
    names = newcomers(climate, soil, says_something=False)
    names._says_something = lambda candidate, _message: candidate.id.startswith("soil-")
    assert names.look(message("z/a"))
    assert names.appeared() == [(soil, "a")]
    names.taken_on(member(soil, "a"))
    assert not names.seen()


def test_who_is_coming_is_reported_once_and_all_its_messages_wait() -> None:
    zigbee = group("z-{name}", "z/{name}", devices_max=1)
    names = newcomers(zigbee)
    assert names.look(message("z/a"))
    assert names.look(message("z/a"))
    assert names.appeared() == [(zigbee, "a")]
    assert names.appeared() == []
    assert names.look(message("z/a"))
    names.taken_on(member(zigbee, "a"))
    names.close_list()
    assert not names.seen()
    assert not names.look(message("z/b"))
    assert reasons(names) == {"b": "devices_max = 1 is reached"}


def test_who_is_not_taken_on_is_not_reported_again() -> None:
    names = newcomers(group("z-{name}", "z/{name}", devices_max=1))
    names.look(message("z/a"))
    names.appeared()
    names.close_list()
    assert not names.look(message("z/a", at_ms=7))
    assert names.appeared() == []
    [seen] = names.seen()
    assert (seen.name, seen.last_seen_ms) == ("a", 7)
    assert seen.reason.startswith("was not taken on")
    # It takes nobody's place.
    assert names.look(message("z/b"))


def test_who_is_taken_on_later_counts_from_then_on() -> None:
    zigbee = group("z-{name}", "z/{name}", devices_max=1)
    names = newcomers(zigbee)
    names.look(message("z/a"))
    names.appeared()
    names.close_list()
    names.taken_on(member(zigbee, "a"))
    assert not names.seen()
    assert not names.look(message("z/b"))
    assert reasons(names) == {"b": "devices_max = 1 is reached"}


def test_who_was_not_reported_before_the_connection_was_lost_may_come_again() -> None:
    zigbee = group("z-{name}", "z/{name}", devices_max=1)
    names = newcomers(zigbee)
    names.look(message("z/a"))
    names.begin()
    assert names.appeared() == []
    assert names.look(message("z/a"))
    assert names.appeared() == [(zigbee, "a")]


def test_a_ghost_becomes_no_device() -> None:
    names = newcomers(group("z-{name}", "z/{name}", devices_max=5))
    assert not names.look(message("z/a", is_retained=True))
    assert reasons(names) == {"a": "only what the broker had retained"}
    assert names.look(message("z/a"))
    silent = newcomers(group("z-{name}", "z/{name}", devices_max=5), says_something=False)
    assert not silent.look(message("z/a"))
    assert reasons(silent) == {"a": "says nothing of what the profile asks for"}


def test_the_newest_names_are_kept_however_many_come() -> None:
    names = newcomers(group("z-{name}", "z/{name}"))
    for number in range(SEEN_MAX + 10):
        names.look(message(f"z/{number}", at_ms=number))
        names.look(message("z/0", at_ms=number))
    seen = names.seen()
    assert len(seen) == SEEN_MAX
    assert (seen[-1].name, seen[-1].last_seen_ms) == ("0", SEEN_MAX + 9)
    assert {"1", "2", "10"}.isdisjoint(each.name for each in seen)
