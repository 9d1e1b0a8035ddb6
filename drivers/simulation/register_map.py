"""From values to the registers of a device: the inverse of its profile. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from drivers.decoders.modbus_options import ModbusPointOptions, Table
from drivers.decoders.modbus_point import PointCodec
from drivers.decoders.registers import NumberType, decode_number, encode_number, is_float
from drivers.simulation.faults import Fault
from drivers.simulation.raw_values import inverted, polynomial
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import Shown
from edge.domain.reading import Value
from edge.domain.settings import PointSettings

# What each table holds: address -> register or bit.
Image: TypeAlias = Mapping[Table, Mapping[int, int]]
Tables: TypeAlias = dict[Table, dict[int, int]]

UNSIGNED: Mapping[int, NumberType] = {1: "uint16", 2: "uint32", 4: "uint64"}
# Decimals that a device with a decimals register may tell, best first.
_DECIMALS = (2, 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedUnit:
    """One simulated device on a Modbus line or behind a host, and its unit id. Several may share one."""

    device: SimulatedDevice
    address: int


class RegisterMap:
    """Where the values of one device stand. Prepared once."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._points = [_MappedPoint(point) for point in device.points]

    def image(self, shown: Shown) -> Image:
        """Lay a device's values into its tables."""
        tables: Tables = {"coil": {}, "discrete": {}, "input": {}, "holding": {}}
        is_faulty = shown.fault is Fault.NOT_A_NUMBER
        for point in self._points:
            point.put(shown.values[point.id], tables, is_faulty=is_faulty)
        # Last: a status register says that all is well, or what is wrong, whatever else lies in it.
        for point in self._points:
            point.put_status(tables, is_faulty=is_faulty)
        return tables


class _MappedPoint:
    def __init__(self, point: PointSettings) -> None:
        assert isinstance(point.options, ModbusPointOptions)
        self.id = point.id
        self._options = point.options
        self._conversion = point.conversion
        self._codec = PointCodec(point)
        self._places = range(point.options.address, point.options.address + point.options.length)
        self._marked = _invalid_registers(point.options)

    def put(self, value: Value, tables: Tables, *, is_faulty: bool) -> None:
        table = tables[self._options.table]
        if is_faulty and self._marked is not None:
            registers = self._marked
        elif any(self._options.polynomial[2:]):
            registers = self._on_curve(value)
        else:
            registers = self._encoded(value, table)
        table.update(zip(self._places, self._valid(registers), strict=True))

    def put_status(self, tables: Tables, *, is_faulty: bool) -> None:
        """Say that all is well, or raise the lowest bit of a rule that says that a sensor is broken."""
        options = self._options
        if not options.status_rules:
            return
        broken = [rule.mask & -rule.mask for rule in options.status_rules if rule.reason == "sensor_fault"]
        bits = broken[0] if is_faulty and broken else 0
        is_bit = options.type == "bool"
        registers = (bits,) if is_bit else encode_number(bits, UNSIGNED[options.length], options.word_order)
        tables[options.table].update(zip(self._places, registers, strict=True))

    def _encoded(self, value: Value, table: dict[int, int]) -> Sequence[int]:
        options = self._options
        held = [table.get(address, 0) for address in self._places]
        if options.type == "string" and not options.map:
            value = str(value)[: 2 * options.length]
        for decimals in (None,) if options.decimals_address is None else _DECIMALS:
            try:
                registers = self._codec.registers(value, held=held, decimals=decimals)
            except ValueError:
                continue
            if decimals is not None and options.decimals_address is not None:
                table[options.decimals_address] = decimals
            return registers
        # What the type cannot hold: a real sensor stops at the end of its scale, this one at zero.
        return [0] * options.length

    def _on_curve(self, value: Value) -> Sequence[int]:
        """Find the raw value of a polynomial of a higher degree."""
        wanted = self._conversion.invert(float(value))
        return _number(inverted(lambda raw: polynomial(self._options.polynomial, raw), wanted), self._options)

    def _valid(self, registers: Sequence[int]) -> Sequence[int]:
        """Keep a raw value within what the loop can give: a broken one is a fault, not the weather."""
        options = self._options
        number_type = _number_type(options)
        if options.valid_raw is None or number_type is None or registers is self._marked:
            return registers
        raw = decode_number(registers, number_type, options.word_order)
        low, high = options.valid_raw
        return registers if low <= raw <= high else _number(math.ceil(low) if raw < low else math.floor(high), options)


def _number_type(options: ModbusPointOptions) -> NumberType | None:
    return None if options.type == "bool" or options.type == "string" else options.type  # noqa: PLR1714 - mypy's way


def _number(raw: float, options: ModbusPointOptions) -> Sequence[int]:
    number_type = _number_type(options)
    assert number_type is not None
    try:
        return encode_number(raw if is_float(number_type) else round(raw), number_type, options.word_order)
    except ValueError:
        return [0] * options.length


def _invalid_registers(options: ModbusPointOptions) -> Sequence[int] | None:
    """Return what a device sends in place of a value that it does not have; None if its profile knows no such thing."""
    number_type = _number_type(options)
    if number_type is None or options.status_rules:
        return None
    if is_float(number_type):
        return encode_number(math.nan, number_type, options.word_order)
    if options.invalid_raw:
        # -32768 and 0x8000 are the same bits.
        bits = options.invalid_raw[0] % 2 ** (16 * options.length)
        return encode_number(bits, UNSIGNED[options.length], options.word_order)
    if options.valid_raw is not None and not options.valid_raw[0] <= 0 <= options.valid_raw[1]:
        return [0] * options.length
    return None
