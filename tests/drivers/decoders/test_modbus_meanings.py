"""What a raw value means beyond a scale: bits, maps, curves, decimals, texts, marks; and the way back."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.modbus_options import PointType
from drivers.decoders.modbus_point import ModbusPointOptions, PointCodec
from drivers.decoders.registers import NUMBER_TYPES, WORD_ORDERS, WordOrder, encode_number
from edge.domain.quantity import Conversion
from edge.domain.reading import Quality, Reading, Reason, Value
from fakes.modbus_points import codec


def holding(kind: PointType = "uint16", **options: Any) -> PointCodec:
    return codec(ModbusPointOptions(table="holding", address=10, type=kind, **options))


def good(value: Value) -> Reading:
    return Reading(value=value, unit=None)


def fault(reading: Reading) -> bool:
    return reading.quality is Quality.BAD and reading.reason is Reason.SENSOR_FAULT and reading.value is None


def test_a_bit_is_a_boolean_and_bits_are_a_number() -> None:
    status = 0b1010_0000_0000_1001
    assert holding(bits=(3, 1)).reading([status]) == good(value=True)
    assert holding(bits=(4, 1)).reading([status]) == good(value=False)
    assert holding(bits=(13, 3)).reading([status]) == good(0b101)
    assert holding("uint32", bits=(16, 8), word_order="CDAB").reading([0, 0x01AB]) == good(0xAB)
    assert holding(bits=(0, 8), scale=0.5).reading([0xFF07]) == good(3.5)


def test_writing_bits_leaves_the_others_as_they_are() -> None:
    point = holding(bits=(4, 2))
    assert point.registers(2, held=[0xFFFF]) == (0xFFEF,)
    assert point.registers(1, held=[0x0000]) == (0x0010,)
    assert holding(bits=(15, 1)).registers(value=True, held=[0x0001]) == (0x8001,)


@pytest.mark.parametrize(("value", "held"), [(1, []), (4, [0]), (-1, [0]), (1, [0, 0])])
def test_bits_that_cannot_be_written_are_refused(value: int, held: list[int]) -> None:
    with pytest.raises(ValueError, match=r"bits"):
        holding(bits=(4, 2)).registers(value, held=held)


def test_a_map_says_what_a_raw_value_means() -> None:
    direction = holding(map={"0": "stopped", "1": "forward", "0x8000": "fault"})
    assert direction.reading([1]) == good("forward")
    assert direction.reading([0x8000]) == good("fault")
    assert fault(direction.reading([7]))
    assert direction.registers("stopped") == (0,)
    assert holding(map={"0": True, "1": False}).reading([1]) == good(value=False)
    assert holding("float32", map={"5": 9600.0}).reading(encode_number(5, "float32", "ABCD")) == good(9600.0)
    assert fault(holding("float32", map={"5": 9600.0}).reading(encode_number(math.nan, "float32", "ABCD")))
    with pytest.raises(ValueError, match="it knows 'stopped', 'forward', 'fault'"):
        direction.registers("reverse")


def test_a_map_may_name_negative_numbers_by_their_bits() -> None:
    assert holding("int16", map={"0x8000": "none", "-1": "back"}).reading([0x8000]) == good("none")
    assert holding("int16", map={"0x8000": "none", "-1": "back"}).reading([0xFFFF]) == good("back")


def test_a_map_works_on_bits_on_coils_and_on_texts() -> None:
    assert holding(bits=(4, 2), map={"2": "reverse"}).reading([0xFFEF]) == good("reverse")
    valve = codec(ModbusPointOptions(table="coil", address=0, type="bool", map={"0": "shut", "1": "open"}))
    assert valve.reading([True]) == good("open")
    assert valve.registers("shut") == (0,)
    model = holding("string", registers=1, map={"S8": "senseair"})
    assert model.reading([0x5338]) == good("senseair")
    assert fault(model.reading([0x5339]))


def test_mapped_numbers_are_in_the_profiles_unit() -> None:
    options = ModbusPointOptions(table="holding", address=0, type="uint16", map={"0": 1.5, "1": 20.0})
    flow = codec(options, unit="L/min", conversion=Conversion(factor=60))
    assert flow.reading([0]) == Reading(value=90.0, unit="L/min")
    assert flow.registers(1200.0) == (1,)


def test_a_polynomial_is_calculated_as_it_is_written() -> None:
    # A substrate calibration of a raw count, as METER gives them.
    curve = holding(polynomial=(-0.7, 3.879e-4, 1e-8))
    assert curve.reading([2000]).value == 0.1158
    assert holding("float32", polynomial=(0, 0, 1)).reading(encode_number(1.1, "float32", "ABCD")).value == 1.21
    with pytest.raises(ValueError, match="polynomial"):
        curve.registers(0.1158)


def test_a_straight_polynomial_can_be_written() -> None:
    line = holding("int16", polynomial=(-40.0, 0.1))
    assert line.reading([605]).value == 20.5
    assert line.registers(20.5) == (605,)


def test_a_polynomial_and_a_unit_go_together() -> None:
    options = ModbusPointOptions(table="holding", address=0, type="uint16", polynomial=(0, 0, 1))
    assert codec(options, conversion=Conversion(factor=0.001)).reading([30]).value == 0.9


def test_a_decimals_register_shifts_the_point() -> None:
    level = holding("int16", decimals_address=3)
    assert level.reading([153], decimals=0).value == 153.0
    assert level.reading([0xFFF0], decimals=1).value == -1.6
    assert level.registers(-1.6, decimals=1) == (0xFFF0,)
    assert holding("int16", decimals_address=3, scale=10.0).reading([153], decimals=3).value == 1.53
    assert holding("uint16", decimals_address=3, polynomial=(0, 0, 1)).reading([30], decimals=1).value == 9.0


def test_without_its_decimals_a_value_is_none() -> None:
    level = holding("int16", decimals_address=3)
    assert level.reading([153]).reason is Reason.COMM_ERROR
    assert fault(level.reading([153], decimals=10))
    assert fault(level.reading([153], decimals=0xFFFF))
    with pytest.raises(ValueError, match="register 3"):
        level.registers(153.0)


def test_a_text_is_a_value() -> None:
    serial = holding("string", registers=7)
    # Y520, as captured: a tabulator in front, NUL at the end.
    assert serial.reading([2393, 19504, 14641, 13873, 12594, 12592, 12544]) == good("YL0916112101")
    assert serial.reading(serial.registers("YL0916112101")) == good("YL0916112101")
    assert fault(serial.reading([0] * 7))
    with pytest.raises(ValueError, match="12 is no string"):
        serial.registers(12)
    with pytest.raises(ValueError, match="'12' is no number"):
        holding().registers("12")


def test_digits_that_are_none_are_a_sensor_fault() -> None:
    assert holding("bcd16").reading([0x5942]) == good(5942.0)
    assert fault(holding("bcd16").reading([0x59FF]))


def test_what_a_device_does_not_have_is_told_from_what_is_not_well() -> None:
    point = holding("int32", invalid_raw=(0x7FFFFFFF,), unsupported_raw=(0xFFFEFFFE,))
    assert point.is_unsupported([0xFFFE, 0xFFFE])
    assert not point.is_unsupported([0x7FFF, 0xFFFF])
    assert fault(point.reading([0xFFFE, 0xFFFE]))
    assert fault(point.reading([0x7FFF, 0xFFFF]))
    assert not holding().is_unsupported([0xFFFE])
    assert not holding("bcd16", unsupported_raw=(0xFFFE,)).is_unsupported([0x1234])
    assert holding("bcd16", unsupported_raw=(0xFFFE,)).is_unsupported([0xFFFE])


# A 4-20 mA bridge: less is a broken loop, more is over its range.
@pytest.mark.parametrize(("raw", "is_valid"), [(654, False), (655, True), (3276, True), (3277, False)])
def test_a_raw_value_outside_the_valid_ones_is_a_sensor_fault(raw: int, *, is_valid: bool) -> None:
    loop = holding(valid_raw=(655, 3276), scale=0.01)
    assert fault(loop.reading([raw])) is not is_valid


def test_zero_has_no_sign() -> None:
    minus_zero = encode_number(-0.0, "float32", "ABCD")
    for reading in (holding("int16", scale=-0.1).reading([0]), holding("float32").reading(minus_zero)):
        assert repr(reading.value) == "0.0"


numbers = st.sampled_from([0.1, 1.0, -0.5, 12.5, 1e-6])
any_options: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    kind=st.sampled_from([*NUMBER_TYPES, "string"]),
    word_order=st.sampled_from(WORD_ORDERS),
    registers=st.integers(0, 3),
    bits=st.none() | st.tuples(st.integers(0, 40), st.integers(1, 20)),
    scale=numbers,
    raw_offset=st.just(0.0) | numbers,
    polynomial=st.just(()) | st.tuples(numbers, numbers, numbers),
    decimals_address=st.none() | st.just(3),
    map=st.just({}) | st.dictionaries(st.integers(0, 20).map(str), st.sampled_from(["a", "b"]), max_size=3),
    invalid_raw=st.lists(st.integers(-1, 0xFFFF), max_size=2).map(tuple),
    unsupported_raw=st.just(()) | st.just((0xFFFE,)),
    valid_raw=st.none() | st.just((10.0, 30_000.0)),
)


@given(any_options, st.data())
def test_any_registers_of_any_possible_point_give_a_reading(options: dict[str, Any], data: st.DataObject) -> None:
    kind = options.pop("kind")
    made = ModbusPointOptions(table="holding", address=0, type=kind, **options)
    if made.mistakes():
        return
    length = made.length
    registers = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=length, max_size=length))
    point = codec(made, conversion=Conversion(factor=5 / 9, offset=-160 / 9))
    reading = point.reading(registers, decimals=data.draw(st.none() | st.integers(0, 0xFFFF)))
    assert reading.quality in {Quality.GOOD, Quality.BAD}
    point.is_unsupported(registers)
    point.status(registers)


@given(
    kind=st.sampled_from(["uint16", "uint32", "uint64"]),
    order=st.sampled_from(WORD_ORDERS),
    first=st.integers(0, 15),
    width=st.integers(1, 16),
    data=st.data(),
)
def test_bits_are_read_as_they_were_written(
    kind: PointType, order: WordOrder, first: int, width: int, data: st.DataObject
) -> None:
    made = ModbusPointOptions(table="holding", address=0, type=kind, word_order=order, bits=(first, width))
    if made.mistakes():
        return
    held = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=made.length, max_size=made.length))
    value = data.draw(st.integers(0, 2**width - 1))
    point = codec(made)
    written = point.registers(value, held=held)
    assert point.reading(written).value == value
    # What was there comes back when the old bits are written again.
    before = point.reading(held).value
    assert before is not None
    assert point.registers(before, held=written) == tuple(held)
