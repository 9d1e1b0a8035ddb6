"""The way from a Modbus point's registers to a reading, and back. No I/O.

value = conversion(raw * scale + raw_offset), or what `map` says of the raw value, or its `polynomial`; what the device
marks as invalid is recognised on the raw value, before.
"""

import math
import struct
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from drivers.decoders.decimals import DECIMALS_MAX, exact, polynomial_value, shown
from drivers.decoders.modbus_options import (
    BIT_TABLES,
    SIGNED_TYPES,
    ModbusPointOptions,
    PointType,
    StatusRule,
    Table,
    whole_number,
)
from drivers.decoders.registers import (
    RawInvalid,
    decode_number,
    decode_text,
    encode_number,
    encode_text,
    raw_bits,
)
from edge.domain.quantity import Conversion
from edge.domain.reading import Reading, Reason, Value, bad
from edge.domain.settings import PointSettings, ValueType

__all__ = ["BIT_TABLES", "ModbusPointOptions", "PointCodec", "PointType", "StatusRule", "Table"]

# A register that claims more decimals than a 32-bit number has digits is no decimals register.
DECIMALS_CLAIMED_MAX = 9
# What a float surely holds, and what surely shows it whole.
FLOAT32_DIGITS = range(6, 10)
FLOAT_DIGITS: Mapping[PointType, int] = {"float32": 9, "float64": 15}

_FLOAT32 = struct.Struct(">f")


@dataclass(frozen=True, slots=True)
class Scaling:
    """The way from raw to canonical value: one factor, one offset, and the decimals these can give."""

    factor: float
    offset: float
    decimals: int


def scaling(options: ModbusPointOptions, conversion: Conversion, decimals: int = 0) -> Scaling:
    """Join the raw value's decimals, scale, raw offset and unit conversion: exactly, in decimals as they are written.

    A polynomial of the first degree is a scale and an offset, too.
    """
    offset, factor = map(exact, options.polynomial[:2] or (options.raw_offset, options.scale))
    unit_factor = exact(conversion.factor)
    factor = factor.scaleb(-decimals) * unit_factor
    offset = offset * unit_factor + exact(conversion.offset)
    # A whole raw number gets no more decimals than factor and offset have.
    most = min(DECIMALS_MAX, max(_decimals(factor), _decimals(offset)))
    return Scaling(float(factor), float(offset), most)


class PointCodec:
    """One point's way between registers and readings, prepared once."""

    def __init__(self, point: PointSettings) -> None:
        assert isinstance(point.options, ModbusPointOptions)
        self.options = point.options
        self.unit = point.unit
        self._conversion = point.conversion
        self._scaling = scaling(point.options, point.conversion)
        self._is_curved = any(point.options.polynomial[2:])
        self._meanings = _meanings(point.options, point.conversion)
        self._invalid = frozenset(point.options.invalid_raw + point.options.unsupported_raw)

    def reading(self, values: Sequence[int | bool], *, decimals: int | None = None) -> Reading:
        """Read the point's value from its registers, or from its coil or discrete input.

        `decimals` is what the register at `decimals_address` holds; a point that needs it and does not get it has no
        value. Raises ValueError if the values cannot be registers of the point.
        """
        if decimals is None and self.options.decimals_address is not None:
            return bad(Reason.COMM_ERROR, self.unit)
        try:
            raw = self._raw(values)
        except RawInvalid:
            raw = None
        value = None if raw is None else self._value(raw, decimals or 0)
        return bad(Reason.SENSOR_FAULT, self.unit) if value is None else Reading(value=value, unit=self.unit)

    def is_unsupported(self, values: Sequence[int | bool]) -> bool:
        """Whether the device says with this raw value that it does not have the point: asking again is in vain."""
        marks = self.options.unsupported_raw
        return bool(marks) and self._is_one_of(marks, values)

    def status(self, values: Sequence[int | bool]) -> int | None:
        """Return the bits of a status register, for `judged`; None if the device says that it has none just now."""
        bits = raw_bits(values, self.options.word_order)
        return None if bits in self._invalid else bits

    def registers(self, value: Value, *, held: Sequence[int] = (), decimals: int | None = None) -> tuple[int, ...]:
        """Encode a canonical value as the device would hold it; the inverse of `reading`.

        `held` is what the registers hold now: a point that is some of their bits leaves the others as they are.
        Raises ValueError if the point cannot hold the value, or if it needs `held` or `decimals` and does not get it.
        """
        options = self.options
        raw = self._raw_for(value, decimals)
        if options.type == "string":
            return encode_text(str(raw), options.registers, options.word_order)
        number = float(raw) if isinstance(raw, str) else raw
        if options.type == "bool":
            return (int(bool(number)),)
        if options.bits is not None:
            number = self._among(held, number, *options.bits)
        return encode_number(number, options.type, options.word_order)

    def _decoded(self, values: Sequence[int | bool]) -> float | int | str:
        if self.options.type == "string":
            return decode_text(values, self.options.word_order)
        if self.options.type == "bool":
            return int(values[0])
        return decode_number(values, self.options.type, self.options.word_order)

    def _is_one_of(self, marks: Container[object], values: Sequence[int | bool]) -> bool:
        """By value or by bits: makers write both -32768 and 0x8000 of an int16."""
        if raw_bits(values, self.options.word_order) in marks:
            return True
        try:
            return self._decoded(values) in marks
        except RawInvalid:
            return False

    def _raw(self, values: Sequence[int | bool]) -> float | int | str | None:
        """Return the raw value, of a bit field only its bits; None if the device has none."""
        if self._invalid and self._is_one_of(self._invalid, values):
            return None
        raw = self._decoded(values)
        if isinstance(raw, str):
            return raw
        valid = self.options.valid_raw
        if valid is not None and not valid[0] <= raw <= valid[1]:
            return None
        if self.options.bits is not None:
            first, width = self.options.bits
            return int(raw) >> first & (1 << width) - 1
        return raw

    def _value(self, raw: float | str, decimals: int) -> Value | None:
        if self._meanings:
            return self._meanings.get(raw)
        if isinstance(raw, str):
            return raw
        if self.options.value_type is ValueType.BOOLEAN:
            return bool(raw)
        return self._calculated(raw, decimals)

    def _calculated(self, raw: float, decimals: int) -> float | None:
        if not math.isfinite(raw) or not 0 <= decimals <= DECIMALS_CLAIMED_MAX:
            return None
        if self.options.type == "float32":
            raw = shortest_float32(raw)
        if self._is_curved:
            value = self._on_curve(raw, decimals)
        else:
            way = scaling(self.options, self._conversion, decimals) if decimals else self._scaling
            value = _scaled(raw, way, FLOAT_DIGITS.get(self.options.type))
        # Zero has no sign: -0.0 would be told as a change from 0.0.
        return value + 0.0 if math.isfinite(value) else None

    def _on_curve(self, raw: float, decimals: int) -> float:
        way = self._conversion
        value = polynomial_value(tuple(map(exact, self.options.polynomial)), exact(raw).scaleb(-decimals))
        return shown(value * exact(way.factor) + exact(way.offset))

    def _raw_for(self, value: Value, decimals: int | None) -> float | int | str:
        options = self.options
        if self._meanings:
            return self._raw_meaning(value)
        if options.type == "string" or isinstance(value, str):
            if options.type == "string" and isinstance(value, str):
                return value
            raise ValueError(f"{value!r} is no {options.value_type.value}")
        if options.value_type is ValueType.BOOLEAN:
            return int(bool(value))
        if self._is_curved:
            raise ValueError("a point with a polynomial of a higher degree cannot be written")
        if decimals is None and options.decimals_address is not None:
            raise ValueError(f"register {options.decimals_address} says how many decimals the value has; read it first")
        way = scaling(options, self._conversion, decimals) if decimals else self._scaling
        raw = (value - way.offset) / way.factor
        is_whole = options.type not in FLOAT_DIGITS and math.isfinite(raw)
        return round(raw) if is_whole else raw

    def _raw_meaning(self, value: Value) -> float | int | str:
        for raw, meaning in self._meanings.items():
            if meaning == value:
                return raw
        known = ", ".join(repr(meaning) for meaning in self._meanings.values())
        raise ValueError(f"{value!r} is no value of the point; it knows {known}")

    def _among(self, held: Sequence[int], raw: float, first: int, width: int) -> int:
        if len(held) != self.options.length:
            raise ValueError(f"the point is bits of register {self.options.address}; say what it holds now")
        if not 0 <= raw < 1 << width:
            raise ValueError(f"{raw} does not fit into {width} bits")
        mask = (1 << width) - 1 << first
        return raw_bits(held, self.options.word_order) & ~mask | int(raw) << first


def _meanings(options: ModbusPointOptions, conversion: Conversion) -> dict[float | int | str, Value]:
    """Return the map with raw values as they are decoded, and what they mean in the canonical unit."""
    meanings: dict[float | int | str, Value] = {}
    for key, value in options.map.items():
        number = None if options.type == "string" else whole_number(key)
        if number is not None and options.type in SIGNED_TYPES and number >= 2 ** (16 * options.length - 1):
            number -= 2 ** (16 * options.length)  # written as bits
        if not isinstance(value, bool | str):
            value = shown(exact(value) * exact(conversion.factor) + exact(conversion.offset))  # noqa: PLW2901
        meanings[key if number is None else number] = value
    return meanings


def _scaled(raw: float, way: Scaling, digits: int | None) -> float:
    if digits is None:
        # 305 by 0.1 is 30.5, not 30.500000000000004.
        return round(raw * way.factor + way.offset, way.decimals)
    if way.factor == 1.0 and way.offset == 0.0:
        return raw
    return float(f"{raw * way.factor + way.offset:.{digits}g}")


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
