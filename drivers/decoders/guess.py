"""Possible meanings of an unknown device's registers: every type and order, the plausible ones marked. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drivers.decoders.modbus_options import PointType
from drivers.decoders.registers import (
    NUMBER_TYPES,
    WORD_ORDERS,
    NumberType,
    RawInvalid,
    WordOrder,
    decode_number,
    is_float,
    register_count,
)
from edge.domain.quantity import QUANTITIES

# Float registers of field devices: from thousandths (EC in S/m) to millions (an energy in Wh). Two integers that are
# taken for a float are nearly always far smaller (denormal, 1e-38) or larger.
FLOAT_MIN, FLOAT_MAX = 1e-3, 1e7
# Counters, energies, serial numbers. Two small integers taken for one of 32 bits are larger: 305, 546 is 19,989,026.
WHOLE_MAX = 10_000_000
LONG_TYPES: frozenset[NumberType] = frozenset({"int32", "uint32", "int64", "uint64"})
# Makers send whole numbers in these parts of a unit.
SCALES = (1.0, 0.1, 0.01)
# What a 16-bit register of a greenhouse mostly holds; between them the ranges of all others.
SUSPECTS = ("air_temperature", "relative_humidity", "ph", "co2_concentration")
# "Not available" of half the makers.
SENTINELS = frozenset({0xFFFF, 0x7FFF, 0x8000, 0xFFFE})
# Shorter runs of letters are chance: one register in seven holds two of them.
TEXT_LENGTH_MIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A scale that turns a whole number into something a greenhouse knows."""

    scale: float
    value: float
    # Ids of the catalogue in whose range it lies.
    quantities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """One way to read the registers from an address on."""

    type: PointType
    word_order: WordOrder
    # How many registers it takes.
    length: int
    # None: the registers are no value of this type (NaN, infinite, a BCD digit above 9).
    value: float | int | str | None
    is_plausible: bool
    # Of a 16-bit number only.
    fits: tuple[Fit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessedRegister:
    """One address, what it holds, and all ways to read on from there."""

    address: int
    register: int
    guesses: tuple[Guess, ...]


def guess(registers: Sequence[int], *, start: int) -> tuple[GuessedRegister, ...]:
    """Return for each address every type and order that the registers from there on allow, in the order of the types.

    Orders that give the same value as an earlier one are left out. Raises ValueError for what are no registers.
    """
    return tuple(
        GuessedRegister(
            address=start + index,
            register=register,
            guesses=(*_numbers(registers[index:]), *_texts(registers[index:])),
        )
        for index, register in enumerate(registers)
    )


def _numbers(registers: Sequence[int]) -> Iterator[Guess]:
    for number_type in NUMBER_TYPES:
        length = register_count(number_type)
        seen: set[tuple[int, ...]] = set()
        for order in WORD_ORDERS if length <= len(registers) else ():
            own = tuple(registers[:length])
            # One register knows no order of words, and equal bytes no order at all.
            shape = _ordered_shape(own, order)
            if shape not in seen:
                seen.add(shape)
                yield _number(own, number_type, order)


def _ordered_shape(registers: tuple[int, ...], order: WordOrder) -> tuple[int, ...]:
    words = registers[::-1] if order in {"CDAB", "DCBA"} else registers
    is_swapped = order in {"BADC", "DCBA"}
    return tuple((word & 0xFF) << 8 | word >> 8 for word in words) if is_swapped else words


def _number(registers: Sequence[int], number_type: NumberType, order: WordOrder) -> Guess:
    value: float | int | None
    try:
        value = decode_number(registers, number_type, order)
    except RawInvalid:
        value = None
    if value is not None and not math.isfinite(value):
        value = None
    fits = _fits(value) if value is not None and number_type in {"int16", "uint16"} and order == "ABCD" else ()
    return Guess(
        type=number_type,
        word_order=order,
        length=len(registers),
        value=value,
        is_plausible=value is not None and (bool(fits) or _is_plausible(value, number_type)),
        fits=fits,
    )


def _is_plausible(value: float, number_type: NumberType) -> bool:
    """Whether a number is likely by itself. Zero says nothing; a single register needs a fit; BCD comes by chance."""
    if is_float(number_type):
        return FLOAT_MIN <= abs(value) < FLOAT_MAX
    return number_type in LONG_TYPES and 0 < abs(value) <= WHOLE_MAX


def _fits(raw: float) -> tuple[Fit, ...]:
    if raw == 0 or int(raw) & 0xFFFF in SENTINELS:
        return ()
    fits = []
    for scale in SCALES:
        value = round(raw * scale, 2)
        inside = tuple(name for name in SUSPECTS if QUANTITIES[name].low <= value <= QUANTITIES[name].high)
        # Each hundredth of anything below 20000 is below 200: a CO2 concentration comes whole.
        inside = tuple(name for name in inside if scale == 1 or name != "co2_concentration")
        if inside:
            fits.append(Fit(scale=scale, value=value, quantities=inside))
    return tuple(fits)


def _texts(registers: Sequence[int]) -> Iterator[Guess]:
    orders: tuple[WordOrder, ...] = ("ABCD", "BADC")
    for order in orders:
        text, length = _text(registers, order)
        if len(text) >= TEXT_LENGTH_MIN:
            yield Guess(type="string", word_order=order, length=length, value=text, is_plausible=True)


def _text(registers: Sequence[int], order: WordOrder) -> tuple[str, int]:
    """Return the text that begins here, and how many registers it fills."""
    text = ""
    for length, register in enumerate(registers, start=1):
        pair = bytes((register >> 8, register & 0xFF))[:: 1 if order == "ABCD" else -1]
        # It ends with the register that holds its last letter and NUL; a Yosemitech's begins with a tabulator.
        letters = pair.rstrip(b"\0") if text else pair.lstrip(b"\t\0")
        if not letters.isascii() or not letters.decode("ascii").isprintable():
            return text.strip(), length - 1
        text += letters.decode("ascii")
        if pair.endswith(b"\0"):
            return text.strip(), length
    return text.strip(), len(registers)
