"""Where a Modbus point stands, and the way from its registers to a reading and back. No I/O.

value = conversion(raw * scale + raw_offset); what the device marks as invalid is recognised on the raw value, before.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from drivers.decoders.registers import (
    NumberType,
    WordOrder,
    decode_number,
    encode_number,
    is_float,
    raw_bits,
    register_count,
)
from edge.domain.quantity import Conversion
from edge.domain.reading import Reading, Reason, bad
from edge.domain.settings import PointSettings, ValueType

Table: TypeAlias = Literal["coil", "discrete", "input", "holding"]
PointType: TypeAlias = NumberType | Literal["bool"]

BIT_TABLES: frozenset[Table] = frozenset({"coil", "discrete"})
ADDRESS_MAX = 0xFFFF

# Where scale or conversion have no short decimal form (5/9), digits beyond these are noise of the arithmetic.
DECIMALS_MAX = 12
# What a float surely holds, and what surely shows it whole.
FLOAT32_DIGITS = range(6, 10)
FLOAT_DIGITS: dict[NumberType, int] = {"float32": 9, "float64": 15}

_FLOAT32 = struct.Struct(">f")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusPointOptions:
    """Where a point's raw value stands and how it becomes a number: raw * scale + raw_offset, in the profile's unit."""

    table: Table
    # The number on the wire (PDU), counted from 0.
    address: int
    # "bool" for coils and discrete inputs, a number type for registers.
    type: PointType
    word_order: WordOrder = "ABCD"
    scale: float = 1.0
    # `offset` in a profile. (`offset` in a site file is the correction in the canonical unit.)
    raw_offset: float = 0.0
    # Raw values with which the device says that it has none, by value or as unsigned bits (0x8000).
    invalid_raw: tuple[int, ...] = ()

    @property
    def value_type(self) -> ValueType:
        """Return the type of the point's values in events."""
        return ValueType.BOOLEAN if self.type == "bool" else ValueType.NUMBER

    @property
    def length(self) -> int:
        """Return how many registers (or bits) the raw value fills."""
        return 1 if self.type == "bool" else register_count(self.type)

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        if (self.table in BIT_TABLES) != (self.type == "bool"):
            yield f'table "{self.table}" cannot hold type "{self.type}"; coil and discrete hold bool, the others numbers'
        if not 0 <= self.address <= ADDRESS_MAX - self.length + 1:
            yield f"address is {self.address}; the last register must not be above {ADDRESS_MAX}"
        if self.scale == 0 or not math.isfinite(self.scale):
            yield f"scale is {self.scale}; it must be a number other than 0"
        if not math.isfinite(self.raw_offset):
            yield f"offset is {self.raw_offset}; it must be a number"


@dataclass(frozen=True, slots=True)
class Scaling:
    """The way from raw to canonical value: one factor, one offset, and the decimals these can give."""

    factor: float
    offset: float
    decimals: int


def scaling(options: ModbusPointOptions, conversion: Conversion) -> Scaling:
    """Join scale, raw offset and unit conversion. Computed exactly, in decimals as they are written."""
    unit_factor = Decimal(repr(conversion.factor))
    factor = Decimal(repr(options.scale)) * unit_factor
    offset = Decimal(repr(options.raw_offset)) * unit_factor + Decimal(repr(conversion.offset))
    # A whole raw number gets no more decimals than factor and offset have.
    decimals = min(DECIMALS_MAX, max(_decimals(factor), _decimals(offset)))
    return Scaling(float(factor), float(offset), decimals)


class PointCodec:
    """One point's way between registers and readings, prepared once."""

    def __init__(self, point: PointSettings) -> None:
        assert isinstance(point.options, ModbusPointOptions)
        self.options = point.options
        self.unit = point.unit
        self.scaling = scaling(point.options, point.conversion)

    def reading(self, registers: Sequence[int | bool]) -> Reading:
        """Read the point's value from its registers, or from its coil or discrete input.

        Raises ValueError if these cannot be registers of the point.
        """
        options = self.options
        if options.type == "bool":
            return Reading(value=bool(registers[0]), unit=self.unit)
        raw = decode_number(registers, options.type, options.word_order)
        # By value or by bits: makers write both -32768 and 0x8000 of an int16.
        if options.invalid_raw and not {raw, raw_bits(registers, options.word_order)}.isdisjoint(options.invalid_raw):
            return bad(Reason.SENSOR_FAULT, self.unit)
        value = self._value(raw, options.type)
        if not math.isfinite(value):
            return bad(Reason.SENSOR_FAULT, self.unit)
        return Reading(value=value, unit=self.unit)

    def registers(self, value: float) -> tuple[int, ...]:
        """Encode a canonical value as the device would hold it; the inverse of `reading`.

        Raises ValueError if the point's type cannot hold it.
        """
        options = self.options
        if options.type == "bool":
            return (int(bool(value)),)
        raw = (value - self.scaling.offset) / self.scaling.factor
        if math.isfinite(raw) and not is_float(options.type):
            raw = round(raw)
        return encode_number(raw, options.type, options.word_order)

    def _value(self, raw: float, number_type: NumberType) -> float:
        factor, offset = self.scaling.factor, self.scaling.offset
        if number_type not in FLOAT_DIGITS:
            # 305 by 0.1 is 30.5, not 30.500000000000004.
            return round(raw * factor + offset, self.scaling.decimals)
        short = shortest_float32(raw) if number_type == "float32" else raw
        if factor == 1.0 and offset == 0.0:
            return short
        return float(f"{short * factor + offset:.{FLOAT_DIGITS[number_type]}g}")


def shortest_float32(raw: float) -> float:
    """Return the number with the fewest digits that is this float32: 465.66, not 465.6600036621094."""
    if not math.isfinite(raw):
        return raw
    for digits in FLOAT32_DIGITS:
        short = float(f"{raw:.{digits}g}")
        if _as_float32(short) == raw:
            return short
    return raw


def _as_float32(value: float) -> float:
    try:
        (nearest,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:  # the largest float32, rounded up
        return math.inf
    assert isinstance(nearest, float)
    return nearest


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
