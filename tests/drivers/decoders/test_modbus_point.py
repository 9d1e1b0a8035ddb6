import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.modbus_point import ModbusPointOptions, PointCodec, shortest_float32
from drivers.decoders.registers import WORD_ORDERS, NumberType, WordOrder, encode_number, register_count
from edge.domain.quantity import Conversion, conversion
from edge.domain.reading import Quality, Reading, Reason
from edge.domain.settings import ValueType
from fakes.modbus_site import point


def value_of(reading: Reading) -> float:
    assert reading.quality is Quality.GOOD
    assert isinstance(reading.value, float)
    return reading.value


@pytest.mark.parametrize(
    ("raw", "scale", "raw_offset", "shown"),
    [(305, 0.1, 0.0, 30.5), (65331, 0.1, 0.0, -20.5), (3, 0.1, 0.0, 0.3), (400, 0.1, -40.0, 0.0), (7, 0.01, 1.5, 1.57)],
)
def test_a_scaled_value_has_no_more_decimals_than_its_scale(
    raw: int, scale: float, raw_offset: float, shown: float
) -> None:
    codec = PointCodec(point("t", type="int16", scale=scale, raw_offset=raw_offset))
    assert repr(value_of(codec.reading([raw]))) == repr(shown)


def to_canonical(unit: str, canonical: str) -> Conversion:
    way = conversion(unit, canonical)
    assert way is not None
    return way


def test_units_are_converted_after_scaling() -> None:
    ec = PointCodec(point("ec", unit="mS/cm", conversion=to_canonical("uS/cm", "mS/cm")))
    assert repr(value_of(ec.reading([1413]))) == "1.413"
    fahrenheit = PointCodec(point("t", scale=0.1, conversion=to_canonical("[degF]", "Cel")))
    assert value_of(fahrenheit.reading([860])) == 30.0


def test_a_float32_shows_the_digits_it_has() -> None:
    gmp252 = PointCodec(point("co2", type="float32", word_order="CDAB", unit="[ppm]"))
    assert value_of(gmp252.reading([54394, 17384])) == pytest.approx(465.66, abs=0.001)
    registers = encode_number(1413.2, "float32", "ABCD")
    ec = PointCodec(point("ec", type="float32", conversion=Conversion(factor=0.001)))
    assert repr(value_of(ec.reading(registers))) == "1.4132"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_form_is_the_same_float32(raw: float) -> None:
    short = shortest_float32(raw)
    assert struct.pack(">f", short) == struct.pack(">f", raw)


@pytest.mark.parametrize("invalid", [-32768, 0x8000])
def test_a_sentinel_may_be_given_by_value_or_by_bits(invalid: int) -> None:
    codec = PointCodec(point("t", type="int16", scale=0.1, invalid_raw=(0x7FFF, invalid)))
    fault = Reading(value=None, unit="Cel", quality=Quality.BAD, reason=Reason.SENSOR_FAULT)
    assert codec.reading([0x8000]) == fault
    assert codec.reading([0x7FFF]) == fault
    assert codec.reading([0x8001]).quality is Quality.GOOD


def test_a_sentinel_is_recognised_before_scaling() -> None:
    codec = PointCodec(point("t", scale=0.5, invalid_raw=(100,)))
    assert value_of(codec.reading([200])) == 100.0
    assert codec.reading([100]).quality is Quality.BAD


def test_a_sentinel_in_swapped_words_is_recognised() -> None:
    codec = PointCodec(point("t", type="int32", word_order="CDAB", invalid_raw=(0x7FFFFFFF,)))
    assert codec.reading([0xFFFF, 0x7FFF]).quality is Quality.BAD


def test_a_float_sentinel_is_recognised() -> None:
    codec = PointCodec(point("ph", type="float32", invalid_raw=(-9999,)))
    assert codec.reading(encode_number(-9999, "float32", "ABCD")).reason is Reason.SENSOR_FAULT


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_what_is_not_finite_is_a_sensor_fault(value: float, kind: NumberType) -> None:
    registers = encode_number(value, kind, "ABCD")
    assert PointCodec(point("t", type=kind)).reading(registers).reason is Reason.SENSOR_FAULT


def test_a_finite_float_that_scaling_makes_infinite_is_a_sensor_fault() -> None:
    registers = encode_number(1e308, "float64", "ABCD")
    assert PointCodec(point("t", type="float64", scale=1e10)).reading(registers).reason is Reason.SENSOR_FAULT


@given(
    kind=st.sampled_from(["int16", "int32", "int64", "float32", "float64"]),
    order=st.sampled_from(WORD_ORDERS),
    scale=st.sampled_from([1.0, 0.1, 0.01, 0.5, 10.0, -0.1]),
    offset=st.sampled_from([0.0, -40.0, 2.5]),
    tenths=st.integers(-3000, 3000),
)
def test_reading_gives_back_what_was_written(
    kind: NumberType, order: WordOrder, scale: float, offset: float, tenths: int
) -> None:
    codec = PointCodec(point("t", type=kind, word_order=order, scale=scale, raw_offset=offset))
    value = round(tenths * scale + offset, 6)
    assert value_of(codec.reading(codec.registers(value))) == pytest.approx(value, rel=1e-6, abs=1e-4)


@given(st.sampled_from(["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]), st.data())
def test_any_registers_give_a_reading(kind: NumberType, data: st.DataObject) -> None:
    length = register_count(kind)
    registers = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=length, max_size=length))
    codec = PointCodec(point("t", type=kind, scale=0.1, conversion=Conversion(factor=5 / 9, offset=-160 / 9)))
    reading = codec.reading(registers)
    assert reading.quality in {Quality.GOOD, Quality.BAD}


def test_a_coil_is_a_boolean() -> None:
    codec = PointCodec(point("open", table="coil", type="bool", unit=None))
    assert codec.reading([True]) == Reading(value=True, unit=None)
    assert codec.options.value_type is ValueType.BOOLEAN


@pytest.mark.parametrize(
    "options",
    [
        ModbusPointOptions(table="coil", address=0, type="uint16"),
        ModbusPointOptions(table="input", address=0, type="bool"),
        ModbusPointOptions(table="input", address=-1, type="int16"),
        ModbusPointOptions(table="input", address=65535, type="int32"),
        ModbusPointOptions(table="input", address=0, type="int16", scale=0),
        ModbusPointOptions(table="input", address=0, type="int16", scale=math.nan),
        ModbusPointOptions(table="input", address=0, type="int16", raw_offset=math.inf),
    ],
)
def test_impossible_points_are_mistakes(options: ModbusPointOptions) -> None:
    assert len(options.mistakes()) == 1
