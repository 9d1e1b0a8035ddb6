"""Sensors as they are: each a little wrong in its own way, and never quite still."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.simulation.greenhouse import Greenhouse
from edge.domain.quantity import QUANTITIES
from edge.domain.settings import PointSettings

# Quantities that only exist outside, or that only a mast measures: one such point puts the whole device outside.
OUTDOOR = frozenset({"outside_temperature", "wind_speed", "wind_direction", "rainfall", "rain_rate"})

# quantity -> (how far one sensor is off from the next, how much it jitters), from the vendors' accuracies.
ERRORS: Mapping[str, tuple[float, float]] = {
    "air_temperature": (0.2, 0.03),
    "outside_temperature": (0.2, 0.03),
    "substrate_temperature": (0.2, 0.03),
    "relative_humidity": (1.2, 0.15),
    "co2_concentration": (15.0, 2.0),
    "photon_flux_density": (8.0, 1.5),
    "irradiance": (4.0, 0.8),
    "water_content": (1.5, 0.05),
    "ec": (0.08, 0.005),
    "ph": (0.05, 0.01),
    "water_level": (1.0, 0.6),
    "wind_speed": (0.1, 0.3),
    "wind_direction": (2.0, 4.0),
    "voltage": (0.4, 0.5),
    "current": (0.0, 0.01),
    "power": (0.0, 2.0),
    "frequency": (0.0, 0.008),
}
# What the model knows nothing about stays where it is.
STEADY: Mapping[str, float] = {"nitrogen": 120.0, "phosphorus": 45.0, "potassium": 210.0, "salinity": 900.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedUnit:
    """One simulated device: its unit id, and the points whose values lie in its registers."""

    device_id: str
    address: int
    points: Sequence[PointSettings]


class Sensors:
    """The sensors of one device. Equal seeds give equal errors."""

    def __init__(self, unit: ServedUnit, seed: int) -> None:
        self._points = unit.points
        self._is_outdoor = not OUTDOOR.isdisjoint(point.quantity or "" for point in unit.points)
        self._chance = random.Random(f"{seed}/{unit.device_id}")  # noqa: S311 - to be repeated, not to be secret
        self._bias = {point.id: self._chance.uniform(-1, 1) * _error(point)[0] for point in unit.points}

    def measured(self, greenhouse: Greenhouse) -> Mapping[str, float]:
        """Return what each point shows: the truth in canonical units, and the sensor's own error."""
        truth = greenhouse.outdoor() if self._is_outdoor else greenhouse.indoor()
        return {point.id: self._shown(point, truth) for point in self._points}

    def _shown(self, point: PointSettings, truth: Mapping[str, float]) -> float:
        quantity = point.quantity or ""
        value = truth.get(quantity, STEADY.get(quantity, 1.0))
        value += self._bias[point.id] + self._chance.gauss(0.0, _error(point)[1])
        if quantity in QUANTITIES:
            value = min(QUANTITIES[quantity].high, max(QUANTITIES[quantity].low, value))
        # The site file corrects this probe (its zero, its gain): so it must be wrong by just that.
        return (value - point.offset) / point.gain


def _error(point: PointSettings) -> tuple[float, float]:
    return ERRORS.get(point.quantity or "", (0.0, 0.0))
