"""Modbus registers to values and back. No I/O, no scaling: one codec for reading and writing."""

import math
import struct
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

NumberType: TypeAlias = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
# How the bytes of a value lie in its registers, most significant first: ABCD as written, CDAB with the words
# reversed, BADC with the bytes of each word swapped, DCBA both. Of a 16-bit value only the bytes can be swapped.
WordOrder: TypeAlias = Literal["ABCD", "CDAB", "BADC", "DCBA"]

NUMBER_TYPES: tuple[NumberType, ...] = get_args(NumberType)
WORD_ORDERS: tuple[WordOrder, ...] = get_args(WordOrder)

_FORMATS: dict[NumberType, struct.Struct] = {
    "int16": struct.Struct(">h"),
    "uint16": struct.Struct(">H"),
    "int32": struct.Struct(">i"),
    "uint32": struct.Struct(">I"),
    "int64": struct.Struct(">q"),
    "uint64": struct.Struct(">Q"),
    "float32": struct.Struct(">f"),
    "float64": struct.Struct(">d"),
}
_FLOATS = frozenset({"float32", "float64"})


def register_count(number_type: NumberType) -> int:
    """Return how many registers a value of this type fills."""
    return _FORMATS[number_type].size // 2


def is_float(number_type: NumberType) -> bool:
    """Whether values of this type have a fraction (and NaN)."""
    return number_type in _FLOATS


def raw_bits(registers: Sequence[int], word_order: WordOrder) -> int:
    """Return the value's bits as one unsigned number, words and bytes put in order.

    Raises ValueError if a register is not a number from 0 to 65535.
    """
    return int.from_bytes(_ordered(registers, word_order), "big")


def decode_number(registers: Sequence[int], number_type: NumberType, word_order: WordOrder) -> int | float:
    """Decode the registers of one value.

    Raises ValueError if their number does not fit the type, or if one is not a number from 0 to 65535.
    """
    layout = _FORMATS[number_type]
    if len(registers) * 2 != layout.size:
        raise ValueError(f"{number_type} fills {layout.size // 2} registers, not {len(registers)}")
    value: int | float
    (value,) = layout.unpack(_ordered(registers, word_order))
    return value


def encode_number(value: float, number_type: NumberType, word_order: WordOrder) -> tuple[int, ...]:
    """Encode one value into registers; the inverse of `decode_number`.

    Raises ValueError if the type cannot hold the value: a fraction in an integer, a number too large.
    """
    if not is_float(number_type):
        # math.isfinite first: int() of an infinity is an OverflowError.
        if not math.isfinite(value) or value != int(value):
            raise ValueError(f"{value} is no whole number; {number_type} holds nothing else")
        value = int(value)
    layout = _FORMATS[number_type]
    try:
        packed = layout.pack(value)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{value} does not fit into {number_type}") from error
    return struct.unpack(f">{layout.size // 2}H", _reordered(packed, word_order))


def _ordered(registers: Sequence[int], word_order: WordOrder) -> bytes:
    try:
        written = struct.pack(f">{len(registers)}H", *registers)
    except struct.error as error:
        raise ValueError("a register is a number from 0 to 65535") from error
    return _reordered(written, word_order)


def _reordered(written: bytes, word_order: WordOrder) -> bytes:
    # Each order is its own inverse, so reading and writing share this.
    if word_order in {"CDAB", "DCBA"}:
        words = [written[index : index + 2] for index in range(0, len(written), 2)]
        written = b"".join(reversed(words))
    if word_order in {"BADC", "DCBA"}:
        swapped = bytearray(written)
        swapped[0::2], swapped[1::2] = written[1::2], written[0::2]
        written = bytes(swapped)
    return written
