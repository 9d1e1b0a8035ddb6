import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.registers import (
    NUMBER_TYPES,
    WORD_ORDERS,
    NumberType,
    WordOrder,
    decode_number,
    encode_number,
    is_float,
    raw_bits,
    register_count,
)

orders = st.sampled_from(WORD_ORDERS)
types = st.sampled_from(NUMBER_TYPES)


def values_of(number_type: NumberType) -> st.SearchStrategy[int | float]:
    bits = register_count(number_type) * 16
    if is_float(number_type):
        return st.floats(width=64 if bits == 64 else 32, allow_nan=False)
    if number_type.startswith("u"):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@given(types.flatmap(lambda kind: st.tuples(st.just(kind), values_of(kind))), orders)
def test_what_was_encoded_is_decoded_to_itself(case: tuple[NumberType, int | float], order: WordOrder) -> None:
    kind, value = case
    decoded = decode_number(encode_number(value, kind, order), kind, order)
    assert decoded == value
    assert math.copysign(1, decoded) == math.copysign(1, value)


@given(types, orders, st.data())
def test_any_registers_decode_and_encode_back(kind: NumberType, order: WordOrder, data: st.DataObject) -> None:
    length = register_count(kind)
    registers = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=length, max_size=length))
    value = decode_number(registers, kind, order)
    if math.isfinite(value):
        assert encode_number(value, kind, order) == tuple(registers)


@pytest.mark.parametrize(
    ("order", "registers"),
    [("ABCD", (0x0102, 0x0304)), ("CDAB", (0x0304, 0x0102)), ("BADC", (0x0201, 0x0403)), ("DCBA", (0x0403, 0x0201))],
)
def test_each_order_puts_the_bytes_where_its_name_says(order: WordOrder, registers: tuple[int, ...]) -> None:
    assert encode_number(0x01020304, "uint32", order) == registers
    assert raw_bits(registers, order) == 0x01020304


def test_a_64_bit_value_follows_the_same_names() -> None:
    value = 0x0102030405060708
    assert encode_number(value, "uint64", "CDAB") == (0x0708, 0x0506, 0x0304, 0x0102)
    assert encode_number(value, "uint64", "BADC") == (0x0201, 0x0403, 0x0605, 0x0807)
    assert encode_number(value, "uint64", "DCBA") == (0x0807, 0x0605, 0x0403, 0x0201)


def test_a_16_bit_value_knows_only_swapped_bytes() -> None:
    assert encode_number(0x0102, "uint16", "CDAB") == (0x0102,)
    assert encode_number(0x0102, "uint16", "DCBA") == (0x0201,)


def test_not_a_number_is_decoded_as_such() -> None:
    registers = struct.unpack(">2H", struct.pack(">f", math.nan))
    assert math.isnan(decode_number(registers, "float32", "ABCD"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [(-1, "uint16"), (65536, "uint16"), (32768, "int16"), (1.5, "int32"), (math.nan, "int16"), (math.inf, "uint64")],
)
def test_what_a_type_cannot_hold_is_refused(value: float, kind: NumberType) -> None:
    with pytest.raises(ValueError, match=r"fit|whole"):
        encode_number(value, kind, "ABCD")


def test_a_float32_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        encode_number(1e39, "float32", "ABCD")


@pytest.mark.parametrize("registers", [[1], [1, 2, 3], [1, 65536], [1, -1]])
def test_registers_that_are_none_are_refused(registers: list[int]) -> None:
    with pytest.raises(ValueError, match="register"):
        decode_number(registers, "uint32", "ABCD")
