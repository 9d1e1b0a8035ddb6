"""What a profile or a site file says about a Modbus point: where it stands and what its raw value means. No I/O."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from drivers.decoders.registers import NumberType, WordOrder, register_count
from edge.domain.by_hand import RegisterTable
from edge.domain.settings import ValueType

Table: TypeAlias = RegisterTable
PointType: TypeAlias = NumberType | Literal["bool", "string"]
StatusReason: TypeAlias = Literal[
    "sensor_fault", "warming_up", "out_of_range", "uncompensated", "substituted", "under_maintenance"
]

BIT_TABLES: frozenset[Table] = frozenset({"coil", "discrete"})
UNSIGNED_TYPES: frozenset[PointType] = frozenset({"uint16", "uint32", "uint64"})
SIGNED_TYPES: frozenset[PointType] = frozenset({"int16", "int32", "int64"})
_FLOATS: frozenset[PointType] = frozenset({"float32", "float64"})
ADDRESS_MAX = 0xFFFF
# What one request can read; a text is never torn.
TEXT_REGISTERS_MAX = 125


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRule:
    """What set bits of a status register say about other points of the device."""

    # Any of these bits being 1 is enough; counted on the whole raw value, as unsigned bits.
    mask: int
    # The ids of the points it speaks of.
    points: tuple[str, ...]
    # sensor_fault and warming_up make their readings bad, the others uncertain: the value is kept.
    reason: StatusReason = "sensor_fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusPointOptions:
    """Where a point's raw value stands and how it becomes a value: raw * scale + raw_offset, in the profile's unit."""

    table: Table
    # The number on the wire (PDU), counted from 0.
    address: int
    # "bool" for coils and discrete inputs, a number type or "string" for registers.
    type: PointType
    word_order: WordOrder = "ABCD"
    # How many registers a "string" fills; other types know it.
    registers: int = 0
    # [first, width]: the raw value is only these bits of the registers, counted from the lowest, which is 0.
    # One bit without a map is a boolean.
    bits: tuple[int, int] | None = None
    scale: float = 1.0
    # `offset` in a profile. (`offset` in a site file is the correction in the canonical unit.)
    raw_offset: float = 0.0
    # Instead of scale and offset: the coefficients from the constant upwards.
    polynomial: tuple[float, ...] = ()
    # The register of the same table that says how many decimals the raw value has: raw * 10 ** -register.
    decimals_address: int | None = None
    # What each raw value means, written as text ("3", "0x8000", or the text of a string). A raw value that is not
    # listed is a sensor fault. Empty = no map.
    map: Mapping[str, float | bool | str] = field(default_factory=dict)
    # Raw values with which the device says that it has none, by value or as unsigned bits (0x8000).
    invalid_raw: tuple[int, ...] = ()
    # Raw values, given alike, with which the device says that it does not have this point at all.
    unsupported_raw: tuple[int, ...] = ()
    # [lowest, highest] raw value that is one; others are a sensor fault (a 4-20 mA loop that is open).
    valid_raw: tuple[float, float] | None = None
    # This point is a status register: what its bits say about others.
    bad_when_bits: StatusRule | tuple[StatusRule, ...] = ()
    # Never read together with others.
    own_request: bool = False
    # One register is written by the function for several (FC16), too.
    write_multiple: bool = False

    @property
    def value_type(self) -> ValueType:
        """Return the type of the point's values in events."""
        if self.map:
            return _value_type(next(iter(self.map.values())))
        if self.type == "bool" or (self.bits is not None and self.bits[1] == 1):
            return ValueType.BOOLEAN
        return ValueType.TEXT if self.type == "string" else ValueType.NUMBER

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all texts that the point can have; empty where the device says what it likes."""
        return tuple(dict.fromkeys(str(value) for value in self.map.values()))

    @property
    def length(self) -> int:
        """Return how many registers (or bits) the raw value fills."""
        if self.type == "bool":
            return 1
        return self.registers if self.type == "string" else register_count(self.type)

    @property
    def status_rules(self) -> tuple[StatusRule, ...]:
        """Return `bad_when_bits` as a list, however it was written."""
        return (self.bad_when_bits,) if isinstance(self.bad_when_bits, StatusRule) else self.bad_when_bits

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return [
            *self._place_mistakes(),
            *self._bits_mistakes(),
            *self._number_mistakes(),
            *self._map_mistakes(),
            *self._sentinel_mistakes(),
            *self._status_mistakes(),
        ]

    def _place_mistakes(self) -> Iterator[str]:
        if (self.table in BIT_TABLES) != (self.type == "bool"):
            yield (
                f'table "{self.table}" cannot hold type "{self.type}"; coil and discrete hold bool, the others registers'
            )
        if self.type == "string" and not 1 <= self.registers <= TEXT_REGISTERS_MAX:
            yield f"registers is {self.registers}; a string fills from 1 to {TEXT_REGISTERS_MAX} of them"
        if self.type != "string" and self.registers:
            yield f'registers is for strings; type "{self.type}" fills {self.length}'
        if not 0 <= self.address <= ADDRESS_MAX - max(1, self.length) + 1:
            yield f"address is {self.address}; it must be from 0, and the last register not above {ADDRESS_MAX}"
        if self.write_multiple and self.table != "holding":
            yield f'write_multiple is for holding registers, not for table "{self.table}"'

    def _bits_mistakes(self) -> Iterator[str]:
        if self.bits is None:
            return
        first, width = self.bits
        if self.type not in UNSIGNED_TYPES:
            yield f'bits are part of a uint16, uint32 or uint64, not of type "{self.type}"'
        elif first < 0 or width < 1 or first + width > 16 * self.length:
            yield f'bits are [{first}, {width}]; write [first, width] within the {16 * self.length} of type "{self.type}"'

    def _number_mistakes(self) -> Iterator[str]:
        if self.scale == 0 or not math.isfinite(self.scale):
            yield f"scale is {self.scale}; it must be a number other than 0"
        if not math.isfinite(self.raw_offset):
            yield f"offset is {self.raw_offset}; it must be a number"
        is_scaled = self.scale != 1 or self.raw_offset != 0
        if self.polynomial and is_scaled:
            yield "polynomial stands instead of scale and offset; leave these out"
        if not all(map(math.isfinite, self.polynomial)):
            yield "polynomial holds what is no number"
        elif self.polynomial and not any(self.polynomial[1:]):
            yield "polynomial gives the same value for everything"
        is_calculated = is_scaled or bool(self.polynomial) or self.decimals_address is not None
        if is_calculated and (self.map or self.value_type is not ValueType.NUMBER):
            what = "a mapped value" if self.map else f"a {self.value_type.value}"
            yield f"{what} is not calculated with: leave out scale, offset, polynomial and decimals_address"
        if self.decimals_address is not None and not 0 <= self.decimals_address <= ADDRESS_MAX:
            yield f"decimals_address is {self.decimals_address}; it must be from 0 to {ADDRESS_MAX}"

    def _map_mistakes(self) -> Iterator[str]:
        if len({_value_type(value) for value in self.map.values()}) > 1:
            yield "map gives values of several kinds; they must be all numbers, all booleans or all texts"
        if self.type == "string":
            return
        numbers = [whole_number(key) for key in self.map]
        for key, number in zip(self.map, numbers, strict=True):
            if number is None or not self._can_be_raw(number):
                yield f'map has "{key}"; write a raw value of type "{self.type}" as a whole number in quotes, "3" or "0x8000"'
            elif numbers.count(number) > 1:
                yield f'map has "{key}", and the same number written in another way'

    def _sentinel_mistakes(self) -> Iterator[str]:
        if self.type in {"bool", "string"}:
            for name in ("invalid_raw", "unsupported_raw", "valid_raw"):
                if getattr(self, name):
                    yield f'{name} is for numbers; type "{self.type}" has none'
            return
        for name in ("invalid_raw", "unsupported_raw"):
            yield from (
                f'{name} has {raw}; no raw value of type "{self.type}" is that'
                for raw in getattr(self, name)
                if not self._can_be_raw(raw)
            )
        both = set(self.invalid_raw) & set(self.unsupported_raw)
        if both:
            yield f"unsupported_raw has {min(both)}, which is in invalid_raw, too"
        if self.valid_raw is not None and not self.valid_raw[0] < self.valid_raw[1]:
            yield "valid_raw must be two numbers, the lower first"

    def _can_be_raw(self, raw: int) -> bool:
        """Whether the type knows this number: by value, or as unsigned bits."""
        if self.type == "bool":
            return raw in {0, 1}
        size = 16 * self.length
        lowest = -(2 ** (size - 1)) if self.type in SIGNED_TYPES else 0
        return self.type in _FLOATS or lowest <= raw < 2**size

    def _status_mistakes(self) -> Iterator[str]:
        if self.status_rules and self.type not in UNSIGNED_TYPES | {"bool"}:
            yield f'bad_when_bits is for uint16, uint32, uint64 and bool; type "{self.type}" has no bits of its own'
            return
        size = 1 if self.type == "bool" else 16 * self.length
        for rule in self.status_rules:
            if not 0 < rule.mask < 2**size:
                yield f"bad_when_bits has the mask {rule.mask}; it must have a bit within the {size} of the point"
            if not rule.points:
                yield "bad_when_bits names no points; say of which it speaks"


def whole_number(text: str) -> int | None:
    """Return the whole number that a key of a map spells, decimal or hexadecimal; None if it spells none."""
    # The two tests keep out "1_000" and digits of other scripts, which int() takes.
    if not text.isascii() or "_" in text:
        return None
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return None


def _value_type(value: float | bool | str) -> ValueType:
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    return ValueType.TEXT if isinstance(value, str) else ValueType.NUMBER
