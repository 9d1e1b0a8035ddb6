import math
from collections.abc import Callable
from typing import Any

import pytest

from drivers.decoders.modbus_options import ModbusPointOptions, StatusRule, whole_number
from edge.domain.settings import Settings, ValueType
from edge.settings.problems import ConfigurationInvalid

# What each of these points says wrong, by the word its sentence begins with.
MISTAKES: list[tuple[str, ModbusPointOptions]] = [
    ("table", ModbusPointOptions(table="coil", address=0, type="uint16")),
    ("table", ModbusPointOptions(table="input", address=0, type="bool")),
    ("address", ModbusPointOptions(table="input", address=-1, type="int16")),
    ("address", ModbusPointOptions(table="input", address=65535, type="int32")),
    ("address", ModbusPointOptions(table="input", address=65530, type="string", registers=7)),
    ("registers", ModbusPointOptions(table="input", address=0, type="string")),
    ("registers", ModbusPointOptions(table="input", address=0, type="string", registers=126)),
    ("registers", ModbusPointOptions(table="input", address=0, type="uint16", registers=1)),
    ("write_multiple", ModbusPointOptions(table="input", address=0, type="uint16", write_multiple=True)),
    ("bits", ModbusPointOptions(table="input", address=0, type="int16", bits=(0, 1))),
    ("bits", ModbusPointOptions(table="input", address=0, type="uint16", bits=(15, 2))),
    ("bits", ModbusPointOptions(table="input", address=0, type="uint16", bits=(-1, 2))),
    ("bits", ModbusPointOptions(table="input", address=0, type="uint16", bits=(3, 0))),
    ("scale", ModbusPointOptions(table="input", address=0, type="int16", scale=0)),
    ("scale", ModbusPointOptions(table="input", address=0, type="int16", scale=math.nan)),
    ("offset", ModbusPointOptions(table="input", address=0, type="int16", raw_offset=math.inf)),
    ("polynomial", ModbusPointOptions(table="input", address=0, type="int16", polynomial=(1, 2), scale=0.1)),
    ("polynomial", ModbusPointOptions(table="input", address=0, type="int16", polynomial=(1,))),
    ("polynomial", ModbusPointOptions(table="input", address=0, type="int16", polynomial=(0, math.nan))),
    ("a", ModbusPointOptions(table="input", address=0, type="int16", map={"1": 1.0}, scale=0.1)),
    ("a", ModbusPointOptions(table="input", address=0, type="uint16", bits=(3, 1), raw_offset=1.0)),
    ("a", ModbusPointOptions(table="input", address=0, type="string", registers=2, decimals_address=5)),
    ("decimals_address", ModbusPointOptions(table="input", address=0, type="int16", decimals_address=65536)),
    ("map", ModbusPointOptions(table="input", address=0, type="int16", map={"1": "on", "2": 2.0})),
    ("map", ModbusPointOptions(table="input", address=0, type="int16", map={"on": "on"})),
    ("map", ModbusPointOptions(table="input", address=0, type="int16", map={"70000": "on"})),
    ("map", ModbusPointOptions(table="coil", address=0, type="bool", map={"2": "on"})),
    ("invalid_raw", ModbusPointOptions(table="coil", address=0, type="bool", invalid_raw=(1,))),
    ("invalid_raw", ModbusPointOptions(table="input", address=0, type="uint16", invalid_raw=(-1,))),
    ("unsupported_raw", ModbusPointOptions(table="input", address=0, type="uint16", unsupported_raw=(0xFFFEFFFE,))),
    ("unsupported_raw", ModbusPointOptions(table="input", address=0, type="uint16", invalid_raw=(7,), unsupported_raw=(7,))),
    ("valid_raw", ModbusPointOptions(table="input", address=0, type="uint16", valid_raw=(3276, 655))),
    ("bad_when_bits", ModbusPointOptions(table="input", address=0, type="float32", bad_when_bits=StatusRule(mask=1, points=("a",)))),
    ("bad_when_bits", ModbusPointOptions(table="input", address=0, type="uint16", bad_when_bits=StatusRule(mask=0, points=("a",)))),
    ("bad_when_bits", ModbusPointOptions(table="input", address=0, type="uint16", bad_when_bits=StatusRule(mask=0x10000, points=("a",)))),
    ("bad_when_bits", ModbusPointOptions(table="input", address=0, type="uint16", bad_when_bits=(StatusRule(mask=1, points=()),))),
]  # fmt: skip


@pytest.mark.parametrize(("first_word", "options"), MISTAKES, ids=lambda item: item if isinstance(item, str) else "")
def test_an_impossible_point_is_one_mistake_at_its_key(first_word: str, options: ModbusPointOptions) -> None:
    (said,) = options.mistakes()
    assert said.split(" ")[0] == first_word


def test_the_same_number_twice_in_a_map_is_a_mistake() -> None:
    options = ModbusPointOptions(table="input", address=0, type="uint16", map={"16": "a", "0x10": "b"})
    assert all("same number" in said for said in options.mistakes())
    assert options.mistakes()


@pytest.mark.parametrize(
    ("options", "value_type", "length"),
    [
        (ModbusPointOptions(table="coil", address=0, type="bool"), ValueType.BOOLEAN, 1),
        (ModbusPointOptions(table="coil", address=0, type="bool", map={"0": "shut", "1": "open"}), ValueType.TEXT, 1),
        (ModbusPointOptions(table="input", address=0, type="bcd32"), ValueType.NUMBER, 2),
        (ModbusPointOptions(table="input", address=0, type="string", registers=7), ValueType.TEXT, 7),
        (ModbusPointOptions(table="input", address=0, type="uint16", bits=(3, 1)), ValueType.BOOLEAN, 1),
        (ModbusPointOptions(table="input", address=0, type="uint32", bits=(3, 2)), ValueType.NUMBER, 2),
        (
            ModbusPointOptions(table="input", address=0, type="uint16", map={"0": True, "1": False}),
            ValueType.BOOLEAN,
            1,
        ),
        (ModbusPointOptions(table="input", address=0, type="uint16", map={"0": 4800.0}), ValueType.NUMBER, 1),
    ],
)
def test_a_point_knows_what_its_values_are(options: ModbusPointOptions, value_type: ValueType, length: int) -> None:
    assert options.mistakes() == []
    assert options.value_type is value_type
    assert options.length == length


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("-3", -3), ("0x8000", 0x8000), ("0X1f", 31), ("1_0", None), ("٣", None), ("3.0", None), ("", None)],
)
def test_a_key_of_a_map_is_a_whole_number(text: str, number: int | None) -> None:
    assert whole_number(text) == number


SITE = """
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
[[connection.device]]
id = "inverter"
[connection.device.point.co2]
quantity = "co2_concentration"
table = "holding"
address = 1
type = "uint16"
unit = "[ppm]"
unsupported_raw = [0xFFFE]
valid_raw = [0, 5000.5]
own_request = true
[connection.device.point.direction]
table = "holding"
address = 2
type = "uint16"
bits = [4, 2]
map = { 0 = "stopped", 1 = "forward", 2 = "reverse" }
[connection.device.point.status]
table = "holding"
address = 3
type = "uint16"
publish = false
bad_when_bits = [{ mask = 0x7F, points = ["co2"] }, { mask = 0x80, points = ["co2"], reason = "out_of_range" }]
[connection.device.point.warming]
table = "holding"
address = 4
type = "uint16"
bits = [0, 1]
publish = false
bad_when_bits = { mask = 1, points = ["co2"], reason = "warming_up" }
[connection.device.point.water_level]
table = "holding"
address = 5
type = "int16"
unit = "mm"
polynomial = [1, 0.5]
decimals_address = 6
"""


def test_every_key_can_be_written_in_a_file(load_site: Callable[[str], Settings]) -> None:
    points = {point.id: point.options for point in load_site(SITE).devices()[0].points}
    base: dict[str, Any] = {"table": "holding", "type": "uint16"}
    assert points == {
        "co2": ModbusPointOptions(
            **base,
            address=1,
            unsupported_raw=(0xFFFE,),
            valid_raw=(0, 5000.5),
            own_request=True,
        ),
        "direction": ModbusPointOptions(
            **base,
            address=2,
            bits=(4, 2),
            map={"0": "stopped", "1": "forward", "2": "reverse"},
        ),
        "status": ModbusPointOptions(
            **base,
            address=3,
            bad_when_bits=(
                StatusRule(mask=0x7F, points=("co2",)),
                StatusRule(mask=0x80, points=("co2",), reason="out_of_range"),
            ),
        ),
        "warming": ModbusPointOptions(
            **base,
            address=4,
            bits=(0, 1),
            bad_when_bits=StatusRule(mask=1, points=("co2",), reason="warming_up"),
        ),
        "water_level": ModbusPointOptions(
            table="holding", address=5, type="int16", polynomial=(1.0, 0.5), decimals_address=6
        ),
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'bad_when_bits = { mask = 1, points = ["co2"], reason = "stale" }',
            "bad_when_bits.reason: must be 'sensor_fault'",
        ),
        ('bad_when_bits = { mask = 1, points = ["co2"], raeson = "stale" }', "unknown key 'raeson'"),
        ("bad_when_bits = { mask = 1 }", "points is required"),
        ("bits = [1]", "bits"),
        ("bits = 1", "bits: must be a list"),
        ('invalid_raw = [1, "x"]', "invalid_raw[1]: must be a whole number"),
        ("map = { 1 = [] }", "map.1: must be"),
        ("bits = [0, 17]", "bits are [0, 17]"),
    ],
)
def test_a_wrong_key_is_told_at_its_line(load_site: Callable[[str], Settings], line: str, said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        load_site(SITE.replace("unsupported_raw = [0xFFFE]", line))
    place = SITE.replace("unsupported_raw = [0xFFFE]", line).splitlines().index(line) + 1
    (problem,) = caught.value.problems
    assert problem.line == place
    assert said in str(problem)
