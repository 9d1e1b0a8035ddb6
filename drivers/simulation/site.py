"""The simulated site: one greenhouse, all its devices, and what their registers hold at this moment."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drivers.decoders.modbus_point import ModbusPointOptions, PointCodec, Table
from drivers.decoders.registers import NumberType, encode_number, is_float
from drivers.simulation.faults import Fault, fault_at
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.sensors import Sensors, ServedUnit
from edge.domain.settings import PointSettings

# What each table holds: address -> register or bit.
Image = Mapping[Table, Mapping[int, int]]

UNSIGNED: Mapping[int, NumberType] = {1: "uint16", 2: "uint32", 4: "uint64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedHost:
    """One Modbus/TCP host of the site file, and the devices behind it."""

    connection_id: str
    units: Sequence[ServedUnit]


class SimulatedSite:
    """Advances its greenhouse whenever somebody looks."""

    def __init__(
        self,
        greenhouse: Greenhouse,
        *,
        now_s: Callable[[], float],
        seed: int = 0,
        speed: float = 1.0,
        has_faults: bool = False,
    ) -> None:
        self._greenhouse = greenhouse
        self._now_s = now_s
        self._start_s = now_s()
        self._seen_s = self._start_s
        self._seed = seed
        self._speed = speed
        self._has_faults = has_faults
        self._sensors: dict[str, Sensors] = {}
        self._last: dict[str, Image] = {}

    def fault(self, unit: ServedUnit) -> Fault | None:
        """Return what is wrong with a device now. Faults last as long at any speed."""
        if not self._has_faults:
            return None
        return fault_at(unit.device_id, self._now_s() - self._start_s, self._seed)

    def image(self, unit: ServedUnit) -> Image:
        """Return what a device's tables hold now."""
        fault = self.fault(unit)
        if fault is Fault.STUCK and unit.device_id in self._last:
            return self._last[unit.device_id]
        now_s = self._now_s()
        self._greenhouse.advance((now_s - self._seen_s) * self._speed)
        self._seen_s = now_s
        if unit.device_id not in self._sensors:
            self._sensors[unit.device_id] = Sensors(unit, self._seed)
        values = self._sensors[unit.device_id].measured(self._greenhouse)
        image = encoded(unit, values, is_faulty=fault is Fault.NOT_A_NUMBER)
        self._last[unit.device_id] = image
        return image


def encoded(unit: ServedUnit, values: Mapping[str, float], *, is_faulty: bool = False) -> Image:
    """Lay the values into registers: the inverse of what the profile says."""
    image: dict[Table, dict[int, int]] = {"coil": {}, "discrete": {}, "input": {}, "holding": {}}
    for point in unit.points:
        options = point.options
        assert isinstance(options, ModbusPointOptions)
        marked = _invalid_registers(options) if is_faulty else None
        registers = marked or _registers(point, values[point.id])
        image[options.table].update(enumerate(registers, start=options.address))
    return image


def _registers(point: PointSettings, value: float) -> tuple[int, ...]:
    codec = PointCodec(point)
    try:
        return codec.registers(value)
    except ValueError:
        # What the type cannot hold: a real sensor stops at the end of its scale, this one at zero.
        return (0,) * codec.options.length


def _invalid_registers(options: ModbusPointOptions) -> tuple[int, ...] | None:
    """Return what a device sends in place of a value that it does not have; None if its profile knows no such thing."""
    if options.type == "bool":
        return None
    if is_float(options.type):
        return encode_number(math.nan, options.type, options.word_order)
    if not options.invalid_raw:
        return None
    # -32768 and 0x8000 are the same bits.
    bits = options.invalid_raw[0] % 2 ** (16 * options.length)
    return encode_number(bits, UNSIGNED[options.length], options.word_order)
