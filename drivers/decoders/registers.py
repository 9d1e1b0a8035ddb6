"""Modbus registers to numbers and texts, and back. No I/O, no scaling: one codec for reading and writing."""

import math
import struct
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

# bcd16 and bcd32: binary coded decimals, a digit in each four bits (TUF-2000M's clock).
NumberType: TypeAlias = Literal[
    "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bcd16", "bcd32"
]
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
    "bcd16": struct.Struct(">H"),
    "bcd32": struct.Struct(">I"),
}
_FLOATS: frozenset[NumberType] = frozenset({"float32", "float64"})
_BCDS: frozenset[NumberType] = frozenset({"bcd16", "bcd32"})

# Characters around a text: NUL, blanks and control characters, erased memory.
_PADDING = bytes((*range(0x21), 0x7F, 0xFF))


class RawInvalid(ValueError):  # noqa: N818 - the vocabulary's word
    """The registers hold nothing that their type knows: a BCD digit above 9, a text of no characters."""


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

    Raises RawInvalid for what is no BCD number, and ValueError if the number of registers does not fit the type or one
    is not a number from 0 to 65535.
    """
    layout = _FORMATS[number_type]
    if len(registers) * 2 != layout.size:
        raise ValueError(f"{number_type} fills {layout.size // 2} registers, not {len(registers)}")
    value: int | float
    (value,) = layout.unpack(_ordered(registers, word_order))
    if number_type in _BCDS:
        return _from_bcd(f"{value:0{2 * layout.size}x}", number_type)
    return value


def _from_bcd(digits: str, number_type: NumberType) -> int:
    if not digits.isdecimal():
        raise RawInvalid(f"0x{digits} is no {number_type}: it has a digit above 9")
    return int(digits)


def encode_number(value: float, number_type: NumberType, word_order: WordOrder) -> tuple[int, ...]:
    """Encode one value into registers; the inverse of `decode_number`.

    Raises ValueError if the type cannot hold the value: a fraction in an integer, a number too large.
    """
    if not is_float(number_type):
        # math.isfinite first: int() of an infinity is an OverflowError.
        if not math.isfinite(value) or value != int(value):
            raise ValueError(f"{value} is no whole number; {number_type} holds nothing else")
        value = int(value)
    if number_type in _BCDS:
        value = _as_bcd(int(value), number_type)
    layout = _FORMATS[number_type]
    try:
        packed = layout.pack(value)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{value} does not fit into {number_type}") from error
    return struct.unpack(f">{layout.size // 2}H", _reordered(packed, word_order))


def _as_bcd(value: int, number_type: NumberType) -> int:
    digits_max = 2 * _FORMATS[number_type].size
    if not 0 <= value < 10**digits_max:
        raise ValueError(f"{value} does not fit into {number_type}, which has {digits_max} digits")
    return int(str(value), 16)


def decode_text(registers: Sequence[int], word_order: WordOrder) -> str:
    """Decode a text, two characters to a register; what surrounds it (NUL, blanks, control characters) is cut off.

    Raises RawInvalid where nothing is left, or what is left is no text in UTF-8 (and so in ASCII), and ValueError if
    one is not a number from 0 to 65535.
    """
    # What stands behind the NUL that ends it is left from an older text.
    written, _, _ = _ordered(registers, word_order).lstrip(_PADDING).partition(b"\0")
    written = written.rstrip(_PADDING)
    try:
        text = written.decode()
    except UnicodeDecodeError as error:
        raise RawInvalid(f"{written.hex(' ')} is no text") from error
    if not text.isprintable() or not text:
        raise RawInvalid(f"{written.hex(' ')} is no text" if text else "the registers hold no text")
    return text


def encode_text(text: str, count: int, word_order: WordOrder) -> tuple[int, ...]:
    """Encode a text into so many registers, filled up with NUL; the inverse of `decode_text`.

    Raises ValueError if they cannot hold it, or if it would not be read back as it is.
    """
    packed = text.encode(errors="replace").ljust(2 * count, b"\0")
    if len(packed) > 2 * count:
        raise ValueError(f"{text!r} does not fit into {count} registers")
    registers = struct.unpack(f">{count}H", _reordered(packed, word_order))
    try:
        is_kept = decode_text(registers, word_order) == text
    except RawInvalid:
        is_kept = False
    if not is_kept:
        raise ValueError(f"{text!r} cannot be written: blanks around it and control characters would be lost")
    return registers


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
