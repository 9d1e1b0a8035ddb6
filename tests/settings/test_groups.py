from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest

from edge.domain.driver import DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings, Settings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import SiteReader

SITE = """\
[site]
id = "a"
[event_store]
uri = "esdb://x?tls=false"
[[connection]]
id = "broker"
driver = "radio"
[[connection.device]]
id = "zigbee-roof"
topic = "roof"
point.ph = {}
[[connection.device_group]]
id = "zigbee-{name}"
topic = "bench/{name}"
except = ["bench/bridge"]
names = ["Bench 3/left", "Bench 3/right"]
location = "north"
remote = { enabled = true }
[connection.device_group.point.ph]
offset = 0.5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Where a radio device is heard."""

    topic: str

    def mistakes(self) -> list[str]:
        return ["topic has a plus"] if "+" in self.topic else []

    def for_member(self, name: str) -> "Topic":
        return replace(self, topic=self.topic.replace("{name}", name))

    def is_same_device(self, other: object) -> bool:
        return self == other


def create(_: ConnectionSettings, __: DriverContext) -> NoReturn:
    raise AssertionError


def said_by_driver(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    for device in connection.devices:
        if device.location == "nowhere":
            yield device.id, f"{device.id} is nowhere"
    for group in connection.groups:
        if group.template.options == Topic(topic="{name}"):
            yield group.id, "topic names everything"
    if not connection.devices:
        yield "", "there is nobody"


RADIO = DriverKind(
    name="radio",
    title="Radio",
    connection_options=Nothing,
    device_options=Topic,
    point_options=Nothing,
    create=create,
    mistakes=said_by_driver,
    max_silence_s=600.0,
)
WIRE = replace(RADIO, name="wire", device_options=Nothing, mistakes=lambda _: (), max_silence_s=None)
KINDS = {"radio": RADIO, "wire": WIRE, "anxious": replace(RADIO, mistakes=lambda _: (), cautions=said_by_driver)}

Read = Callable[..., tuple[Settings, list[str]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read SITE with `old` replaced by `new`: its settings and warnings."""

    def reading(old: str = "", new: str = "") -> tuple[Settings, list[str]]:
        assert old in SITE
        file = tmp_path / "site.toml"
        file.write_text(SITE.replace(old, new) if old else SITE)
        reader = SiteReader(file, KINDS.__getitem__)
        return reader.read(), [str(caution).partition("site.toml:")[2] for caution in reader.cautions]

    return reading


def mistakes_of(read: Read, old: str, new: str) -> list[str]:
    with pytest.raises(ConfigurationInvalid) as caught:
        read(old, new)
    return [str(problem).partition("site.toml:")[2] for problem in caught.value.problems]


def test_listed_names_are_devices_beside_the_others(read: Read) -> None:
    settings, warnings = read()
    (connection,) = settings.connections
    assert [device.id for device in connection.devices] == [
        "zigbee-roof",
        "zigbee-bench-3-left",
        "zigbee-bench-3-right",
    ]
    left = connection.devices[1]
    assert (left.name, left.location, left.options) == ("Bench 3/left", "north", Topic(topic="bench/Bench 3/left"))
    assert left.points[0].offset == 0.5
    assert left.remote["enabled"]
    (group,) = connection.groups
    assert (group.id, group.names, group.adopt) == ("zigbee-{name}", ("Bench 3/left", "Bench 3/right"), False)
    assert group.exclude == ("bench/bridge",)
    assert warnings == []


def test_the_serial_number_of_a_group_holds_the_name_of_each_device(read: Read) -> None:
    settings, _ = read('location = "north"', 'location = "north"\nserial_number = "z-{name}"')
    assert [device.serial_number for device in settings.devices()] == ["", "z-Bench 3/left", "z-Bench 3/right"]


def test_a_connection_may_have_only_groups(read: Read) -> None:
    explicit = SITE[SITE.index("[[connection.device]]") : SITE.index("[[connection.device_group]]")]
    settings, _ = read(explicit, "")
    assert [device.id for device in settings.devices()] == ["zigbee-bench-3-left", "zigbee-bench-3-right"]


def test_a_group_may_adopt_and_then_needs_no_names(read: Read) -> None:
    settings, warnings = read('names = ["Bench 3/left", "Bench 3/right"]', "adopt = true\ndevices_max = 20")
    (group,) = settings.connections[0].groups
    assert (group.names, group.adopt, group.devices_max) == ((), True, 20)
    assert warnings == []


def test_a_group_that_takes_nobody_on_is_warned_of(read: Read) -> None:
    _, warnings = read('names = ["Bench 3/left", "Bench 3/right"]\n', "")
    assert warnings == [
        "12:1: connection[0].device_group[0]: zigbee-{name} has no names and adopts none: what is seen is only listed by `status`"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("zigbee-{name}", "zigbee", "13:1: connection[0].device_group[0].id: 'zigbee' is no template of ids"),
        ("zigbee-{name}", "{name}-{room}", "13:1: connection[0].device_group[0].id: '{name}-{room}' is no template"),
        (
            '"Bench 3/right"]',
            '"bench 3-LEFT"]',
            "16:26: connection[0].device_group[0].names[1]: 'bench 3-LEFT' gives the id 'zigbee-bench-3-left', which line 16",
        ),
        (
            '"Bench 3/right"]',
            '"Roof"]',
            "16:26: connection[0].device_group[0].names[1]: 'Roof' gives the id 'zigbee-roof', which line 9 has already",
        ),
        ('"Bench 3/right"]', '"??"]', "16:26: connection[0].device_group[0].names[1]: '??' gives no id: it is empty"),
        ('"Bench 3/right"]', f'"{60 * "x"}"]', "16:26: connection[0].device_group[0].names[1]: 'xxxx"),
        ('"Bench 3/right"]', '"a+"]', "16:26: connection[0].device_group[0].names[1]: 'a+': topic has a plus"),
        ("names = [", "adopt = true\nnames = [", "16:1: connection[0].device_group[0].adopt: adopt is true; say with"),
        (
            "names = [",
            "devices_max = 5\nnames = [",
            "16:1: connection[0].device_group[0].devices_max: devices_max is 5;",
        ),
        (
            "names = [",
            "adopt = true\ndevices_max = 1\nnames = [",
            "18:1: connection[0].device_group[0].names: names has 2 devices; devices_max, which counts them, is 1",
        ),
        ('except = ["bench/bridge"]', "except = 5", "15:1: connection[0].device_group[0].except: must be a list"),
        ("except =", "exclude =", "15:1: connection[0].device_group[0].exclude: unknown key 'exclude'"),
        (
            "except =",
            "excpt =",
            "15:1: connection[0].device_group[0].excpt: unknown key 'excpt'; did you mean 'except'?",
        ),
        ('driver = "radio"', 'driver = "wire"', "12:1: connection[0].device_group[0]: the driver 'wire' has no device"),
        ("offset = 0.5", "offset = 'x'", "20:1: connection[0].device_group[0].point.ph.offset: must be a number"),
        (
            'location = "north"',
            'location = "nowhere"',
            "16:10: connection[0].device_group[0].names[0]: zigbee-bench-3-left",
        ),
        (
            'topic = "bench/{name}"',
            'topic = "{name}"',
            "14:1: connection[0].device_group[0].topic: topic names everything",
        ),
        ('location = "north"', 'profile = "none"', "17:1: connection[0].device_group[0].profile: there is no profile"),
    ],
)
def test_a_mistake_in_a_group_is_told_where_it_is(read: Read, old: str, new: str, expected: str) -> None:
    found = mistakes_of(read, old, new)
    assert any(line.startswith(expected) for line in found), found


def test_two_groups_must_not_have_one_id(read: Read) -> None:
    again = 'offset = 0.5\n[[connection.device_group]]\nid = "zigbee-{name}"\ntopic = "x/{name}"\npoint.ph = {}\n'
    (found,) = mistakes_of(read, "offset = 0.5\n", again)
    assert found.startswith("22:1: connection[0].device_group[1].id: device_group 'zigbee-{name}' is there twice;")


def test_what_a_driver_says_of_the_whole_connection_stands_there(read: Read) -> None:
    nobody = '[[connection.device_group]]\nid = "{name}"\ntopic = "t/{name}"\npoint.ph = {}\n'
    found = mistakes_of(read, SITE[SITE.index("[[connection.device]]") :], nobody)
    assert found == ["5:1: connection[0]: there is nobody"]


def test_what_a_driver_warns_of_is_a_warning_at_its_place(read: Read) -> None:
    _, warnings = read('driver = "radio"', 'driver = "anxious"')
    assert warnings == []
    changed = SITE[SITE.index("driver =") :].replace("radio", "anxious").replace('"north"', '"nowhere"')
    _, warnings = read(SITE[SITE.index("driver =") :], changed)
    assert warnings == [
        "16:10: connection[0].device_group[0].names[0]: zigbee-bench-3-left is nowhere",
        "16:26: connection[0].device_group[0].names[1]: zigbee-bench-3-right is nowhere",
    ]


def test_a_device_that_speaks_when_it_likes_may_be_silent_for_as_long_as_its_driver_says(read: Read) -> None:
    settings, _ = read()
    assert {(device.max_silence_s, device.is_polled) for device in settings.devices()} == {(600.0, False)}
    settings, _ = read('topic = "roof"', 'topic = "roof"\nmax_silence_s = 5')
    assert settings.devices()[0].max_silence_s == 5.0


def test_a_poll_interval_where_nobody_polls_is_warned_of(read: Read) -> None:
    _, warnings = read('topic = "roof"', 'topic = "roof"\npoll_interval_s = 5')
    assert [line.partition("; see")[0] for line in warnings] == [
        "11:1: connection[0].device[0].poll_interval_s: poll_interval_s means nothing here: these devices speak when they like"
    ]
    _, warnings = read("remote = { enabled = true }", "remote = { poll_interval_s = { min = 2, max = 60 } }")
    assert [line.partition(": ")[0] for line in warnings] == ["18:12"]


PORTS = """\
[site]
id = "a"
[event_store]
uri = "esdb://x?tls=false"
[[connection]]
id = "one"
driver = "line"
serial_port = "{here}/port"
[[connection.device]]
id = "d1"
point.ph = {{}}
[[connection]]
id = "two"
driver = "line"
serial_port = "{here}/link"
[[connection.device]]
id = "d2"
point.ph = {{}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A serial line."""

    serial_port: str


def test_one_serial_port_under_two_names_is_one_connection(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(PORTS.format(here=tmp_path))
    reader = SiteReader(tmp_path / "site.toml", lambda _: replace(WIRE, connection_options=Line))
    assert len(reader.read().connections) == 2
    (tmp_path / "link").symlink_to(tmp_path / "port")
    reader = SiteReader(tmp_path / "site.toml", lambda _: replace(WIRE, connection_options=Line))
    with pytest.raises(
        ConfigurationInvalid, match=r"site.toml:15:1: connection\[1\].serial_port: .* in connection 'one'"
    ):
        reader.read()
