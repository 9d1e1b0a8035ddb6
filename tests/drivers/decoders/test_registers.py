import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.registers import (
    NUMBER_TYPES,
    WORD_ORDERS,
    NumberType,
    RawInvalid,
    WordOrder,
    decode_number,
    decode_text,
    encode_number,
    encode_text,
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
    if number_type.startswith("bcd"):
        return st.integers(0, 10 ** (bits // 4) - 1)
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
    try:
        value = decode_number(registers, kind, order)
    except RawInvalid:
        assert kind.startswith("bcd")
        assert any(digit not in "0123456789" for digit in f"{raw_bits(registers, order):x}")
        return
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
    [
        (-1, "uint16"),
        (65536, "uint16"),
        (32768, "int16"),
        (1.5, "int32"),
        (math.nan, "int16"),
        (math.inf, "uint64"),
        (-1, "bcd16"),
        (10_000, "bcd16"),
        (100_000_000, "bcd32"),
    ],
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


@pytest.mark.parametrize(("kind", "registers"), [("bcd16", (0x5942,)), ("bcd32", (0x2026, 0x1123))])
def test_a_bcd_number_shows_its_digits_in_hexadecimal(kind: NumberType, registers: tuple[int, ...]) -> None:
    value = int("".join(f"{register:x}" for register in registers))
    assert decode_number(registers, kind, "ABCD") == value
    assert encode_number(value, kind, "ABCD") == registers


def test_a_digit_above_nine_is_no_bcd_number() -> None:
    with pytest.raises(RawInvalid, match="0x1a00 is no bcd16"):
        decode_number([0x1A00], "bcd16", "ABCD")


def test_a_float_that_is_not_a_number_is_written_as_such() -> None:
    registers = encode_number(math.nan, "float32", "CDAB")
    assert math.isnan(decode_number(registers, "float32", "CDAB"))


# Y520 sends a tabulator before its serial number; makers pad with NUL, with blanks, and with erased memory.
@pytest.mark.parametrize(
    "written",
    [b"\tYL0916\0\0", b"YL0916\0\0", b"YL0916  ", b"YL0916\xff\xff", b"YL0916\0x", b"  YL0916"],
)
def test_a_text_ends_where_its_padding_begins(written: bytes) -> None:
    registers = struct.unpack(">5H", written.ljust(10, written[-1:] if written[-1] in b"\0 \xff" else b"\0"))
    assert decode_text(registers, "ABCD") == "YL0916"


@pytest.mark.parametrize("written", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"ab\x01d", b"\xc3\x28ab", b"    "])
def test_registers_without_a_text_are_none(written: bytes) -> None:
    with pytest.raises(RawInvalid, match="no text"):
        decode_text(struct.unpack(">2H", written), "ABCD")


@given(st.text(max_size=12), orders)
def test_a_text_is_refused_or_read_back_as_it_was(text: str, order: WordOrder) -> None:
    try:
        registers = encode_text(text, 8, order)
    except ValueError:
        return
    assert decode_text(registers, order) == text


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16), orders)
def test_any_plain_text_can_be_written_in_any_order(text: str, order: WordOrder) -> None:
    assert decode_text(encode_text(text, 8, order), order) == text


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        encode_text("12345", 2, "ABCD")


@given(st.lists(st.integers(0, 0xFFFF), max_size=20), orders)
def test_any_registers_are_a_text_or_none(registers: list[int], order: WordOrder) -> None:
    try:
        text = decode_text(registers, order)
    except RawInvalid:
        return
    assert text.isprintable()
    assert text
