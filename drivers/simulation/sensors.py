"""Sensors as they are: each a little wrong in its own way, drifting, and never quite still."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.decoders.modbus_options import ModbusPointOptions
from drivers.decoders.values import ValueOptions
from drivers.simulation.faults import Fault, Faults
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.weather import DAY_S
from edge.domain.quantity import QUANTITIES
from edge.domain.reading import Value
from edge.domain.settings import PointSettings, ValueType

# Quantities that only exist outside, or that only a mast measures: one such point puts the whole device outside.
OUTDOOR = frozenset({"outside_temperature", "wind_speed", "wind_direction", "rainfall", "rain_rate"})


@dataclass(frozen=True, slots=True)
class SensorError:
    """How wrong sensors of one quantity are, in its canonical unit."""

    # How far one is off from the next, how much it jitters, in which steps it tells, how far it drifts in a day.
    bias: float = 0.0
    noise: float = 0.0
    step: float = 0.01
    drift: float = 0.0


_TEMPERATURE = SensorError(0.2, 0.03, 0.01, 0.0003)
# From the vendors' accuracies (facts/devices.md section 4).
ERRORS: Mapping[str, SensorError] = {
    "air_temperature": _TEMPERATURE,
    "outside_temperature": _TEMPERATURE,
    "substrate_temperature": _TEMPERATURE,
    "water_temperature": SensorError(0.1, 0.01, 0.01),
    "relative_humidity": SensorError(1.2, 0.15, 0.01, 0.003),
    "co2_concentration": SensorError(15.0, 2.0, 1.0, 0.05),
    "photon_flux_density": SensorError(8.0, 1.5, 0.1),
    "irradiance": SensorError(4.0, 0.8, 0.1),
    "illuminance": SensorError(200.0, 20.0, 1.0),
    "water_content": SensorError(1.5, 0.05, 0.01, 0.005),
    "ec": SensorError(0.08, 0.005, 0.001, 0.001),
    "ph": SensorError(0.05, 0.004, 0.001, 0.002),
    "redox_potential": SensorError(5.0, 0.5, 0.1),
    "dissolved_oxygen": SensorError(0.1, 0.02, 0.01, 0.003),
    "water_level": SensorError(1.0, 0.6, 1.0, 0.05),
    "mass": SensorError(0.02, 0.003, 0.005),
    "wind_speed": SensorError(0.1, 0.3, 0.1),
    "wind_direction": SensorError(2.0, 4.0, 1.0),
    "air_pressure": SensorError(0.5, 0.03, 0.1),
    "particle_concentration": SensorError(1.0, 0.7, 1.0),
    "voltage": SensorError(0.4, 0.5, 0.1),
    # A point's id goes before its quantity.
    "battery_voltage": SensorError(0.1, 0.002, 0.001),
    "supply_voltage": SensorError(0.1, 0.02, 0.01),
    "current": SensorError(0.0, 0.01, 0.001),
    "power": SensorError(0.0, 2.0, 0.1),
    "energy": SensorError(step=0.01),
    "frequency": SensorError(0.0, 0.008, 0.001),
    "battery_level": SensorError(10.0, 0.0, 1.0),
    "count": SensorError(step=1.0),
}
_EXACT = SensorError()
# What the model knows nothing about stays where it is.
STEADY: Mapping[str, float] = {
    "nitrogen": 120.0,
    "phosphorus": 45.0,
    "potassium": 210.0,
    "salinity": 900.0,
    "total_dissolved_solids": 1700.0,
    "redox_potential": 310.0,
    "dissolved_oxygen": 8.4,
    "particle_concentration": 7.0,
    "rainfall": 12.4,
    "rain_rate": 0.0,
    "distance": 800.0,
    "battery_level": 85.0,
    "device_temperature": 24.0,
    "duration": 3600.0,
    "count": 2300.0,
    "matric_potential": -12.0,
    # A point's id goes before its quantity.
    "energy_export": 0.0,
    "heating_voltage": 12.0,
    "reference_voltage": 3.5,
    "permittivity": 36.0,
    "signal_quality": 80.0,
}
# What a point that is on or off speaks of, if one of these words is in its id: the irrigation's valve and pump.
_WATERED = frozenset({"valve", "pump", "relay", "irrigation", "flow"})
# On as long as nothing is wrong.
_WELL = frozenset({"stable", "ready"})
COMPASS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")

# A spike reaches so far into what a quantity can plausibly be: 8000 ppm of CO2, as an S8 said once.
SPIKE_SHARE = 0.4
# Quantities whose probes are known to say 0 for a while, and those that stop at their end.
_ZEROED = frozenset({"water_content", "ec", "relative_humidity", "water_level", "ph"})
_SATURATED: Mapping[str, float] = {"relative_humidity": 100.0, "water_content": 100.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """One device, as far as the model knows it: what it measures, and what can go wrong with it."""

    device_id: str
    points: tuple[PointSettings, ...]
    # Those that its transport can show.
    faults: Faults = ()


class Sensors:
    """The sensors of one device. Equal seeds give equal errors."""

    def __init__(self, device: SimulatedDevice, seed: int) -> None:
        self._device_id = device.device_id
        self._points = device.points
        self._is_outdoor = not OUTDOOR.isdisjoint(point.quantity or "" for point in device.points)
        self._chance = random.Random(f"{seed}/{device.device_id}")  # noqa: S311 - to be repeated, not to be secret
        self._bias = {point.id: self._chance.uniform(-1, 1) * _error(point).bias for point in device.points}
        self._drift = {point.id: self._chance.uniform(-1, 1) * _error(point).drift for point in device.points}
        self._start_s: float | None = None

    def measured(self, greenhouse: Greenhouse, fault: Fault | None = None) -> Mapping[str, Value]:
        """Return what each point shows: the truth in canonical units with the sensor's own error and its faults."""
        truth = greenhouse.outdoor() if self._is_outdoor else greenhouse.indoor()
        if self._start_s is None:
            self._start_s = greenhouse.house.time_s
        days = (greenhouse.house.time_s - self._start_s) / DAY_S
        shown = {point.id: self._shown(point, truth, days, fault) for point in self._points}
        # A vane that tells its angle and its sector tells the same twice.
        angles = (shown[point.id] for point in self._points if point.quantity == "wind_direction")
        angle = float(next(angles, truth["wind_direction"]))
        sectors = {point.id: _sector(meanings_of(point), angle) for point in self._points}
        return {**shown, **{point_id: sector for point_id, sector in sectors.items() if sector is not None}}

    def _shown(self, point: PointSettings, truth: Mapping[str, float], days: float, fault: Fault | None) -> Value:
        meanings = meanings_of(point)
        words = frozenset(point.id.split("_"))
        if point.type is ValueType.BOOLEAN:
            return bool(words & _WELL) or (bool(words & _WATERED) and truth["flow_rate"] > 0)
        if meanings:
            return next(iter(meanings.values()))
        if point.type is ValueType.TEXT:
            return self._device_id
        quantity = point.quantity or ""
        sources = ((truth, point.id), (STEADY, point.id), (truth, quantity), (STEADY, quantity))
        value = next((known[name] for known, name in sources if name in known), 0.0)
        error = _error(point)
        value += self._bias[point.id] + self._drift[point.id] * days + self._chance.gauss(0.0, error.noise)
        value = _within(point, _ailing(quantity, value, fault), fault)
        # The site file corrects this probe (its zero, its gain): so it must be wrong by just that.
        return round(round((value - point.offset) / point.gain / error.step) * error.step, 6)


def meanings_of(point: PointSettings) -> Mapping[str, Value]:
    """Return what the raw values of a point mean, if its profile lists that."""
    options = point.options
    return options.map if isinstance(options, ModbusPointOptions | ValueOptions) else {}


def _sector(meanings: Mapping[str, Value], angle: float) -> str | None:
    """Return the wind's sector, of those that a point's map knows; None if it is about something else."""
    sectors = [sector for sector in COMPASS if sector in meanings.values()]
    if not sectors or len(sectors) != len(meanings):
        return None
    return sectors[round(angle * len(sectors) / 360) % len(sectors)]


def _ailing(quantity: str, value: float, fault: Fault | None) -> float:
    if fault is Fault.ZERO and quantity in _ZEROED:
        return 0.0
    if fault is Fault.SATURATED:
        return _SATURATED.get(quantity, value)
    if fault is Fault.SPIKE and quantity in QUANTITIES:
        return value + SPIKE_SHARE * (min(QUANTITIES[quantity].high, 1e6) - value)
    return value


def _within(point: PointSettings, value: float, fault: Fault | None) -> float:
    """Keep a value where the quantity can be; and where the profile says that the sensor's can, if it is well."""
    if point.quantity in QUANTITIES:
        quantity = QUANTITIES[point.quantity]
        value = min(quantity.high, max(quantity.low, value))
    if point.range is not None and fault is None:
        value = min(point.range.high, max(point.range.low, value))
    return value


def _error(point: PointSettings) -> SensorError:
    return ERRORS.get(point.id) or ERRORS.get(point.quantity or "", _EXACT)
