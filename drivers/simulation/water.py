"""Irrigation, the substrate in the slabs, and the tank behind it. Pure.

A pulse for each portion of light, from after sunrise until the light fails; a slab dries down in the night and its EC
rises as the crop drinks more water than salt (facts/devices.md section 4: Grodan, Mycodo, sunrise-labs).
"""

from dataclasses import dataclass, replace

from drivers.simulation.climate import Climate
from drivers.simulation.noise import Noise, wandered
from drivers.simulation.weather import Weather

SLAB_LITRES_PER_M2 = 8.0
# A pulse for each so many J of light on a m2 (80 J/cm2), of so many litres on a m2.
LIGHT_PER_PULSE = 800_000.0
PULSE_LITRES = 0.14
PULSE_S = 240.0
# Irrigation stops when the light outside falls below this, in W/m2.
STOP_IRRADIANCE = 220.0
WATER_CONTENT_MAX = 78.0
DRIP_EC, DRIP_PH = 3.1, 5.85
AREA_M2 = 400.0
TANK_LITRES_PER_MM = 4.0
TANK_LOW_MM, TANK_FULL_MM = 600.0, 1900.0
REFILL_LITRES_PER_S = 2.5
DEVICES_POWER, PUMP_POWER, HEATING_PUMP_POWER = 240.0, 750.0, 370.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Water:
    """What is wet: the slabs, the tank; and the electricity that the pumps take."""

    water_content: float = 66.0
    ec: float = 3.4
    ph: float = 5.85
    temperature: float = 19.0
    tank_mm: float = 1400.0
    is_refilling: bool = False
    # Light since the last pulse, and seconds that the valve stays open.
    light: float = 0.0
    pulse_left_s: float = 0.0
    power: float = 300.0
    energy_kwh: float = 18_204.0
    # What has gone to the drippers, as the meter counts it.
    given_litres: float = 52_310.0

    @property
    def flow_rate(self) -> float:
        """Flow to the drippers, in litres a minute."""
        return 60 * PULSE_LITRES * AREA_M2 / PULSE_S if self.pulse_left_s > 0 else 0.0


def next_water(water: Water, climate: Climate, weather: Weather, step_s: float, noise: Noise) -> Water:
    """Let a few seconds pass in the slabs and the tank."""
    ready = _irrigated(water, weather, step_s)
    open_s = min(step_s, ready.pulse_left_s)
    given = PULSE_LITRES * open_s / PULSE_S
    drunk = climate.transpiration * step_s
    held = ready.water_content / 100 * SLAB_LITRES_PER_M2
    content = min(WATER_CONTENT_MAX / 100 * SLAB_LITRES_PER_M2, max(0.5, held + given - drunk))
    # The crop leaves two thirds of the salt behind; what drips in pushes the old solution out.
    ec = ready.ec * (1 + 0.66 * drunk / held) + (DRIP_EC - ready.ec) * min(1.0, 0.7 * given / held)
    tank_mm, is_refilling = _tank(ready, given, step_s)
    power = DEVICES_POWER + PUMP_POWER * (open_s > 0) + HEATING_PUMP_POWER * (climate.heating > 0)
    return replace(
        ready,
        water_content=100 * content / SLAB_LITRES_PER_M2,
        ec=min(8.0, max(1.0, ec)),
        ph=wandered(ready.ph, DRIP_PH, 0.12, step_s / 1800, noise, low=5.2, high=6.8),
        # A slab follows the air with the inertia of its water.
        temperature=ready.temperature + (climate.temperature - 0.5 - ready.temperature) * step_s / 7200,
        tank_mm=tank_mm,
        is_refilling=is_refilling,
        pulse_left_s=ready.pulse_left_s - open_s,
        power=power,
        energy_kwh=ready.energy_kwh + power * step_s / 3.6e6,
        given_litres=ready.given_litres + given * AREA_M2,
    )


def _irrigated(water: Water, weather: Weather, step_s: float) -> Water:
    """Open the valve when the crop has had its portion of light."""
    light = water.light + weather.irradiance * step_s
    if light < LIGHT_PER_PULSE or water.pulse_left_s > 0:
        return replace(water, light=light)
    if weather.irradiance < STOP_IRRADIANCE:
        return replace(water, light=0.0)
    return replace(water, light=light - LIGHT_PER_PULSE, pulse_left_s=PULSE_S)


def _tank(water: Water, given: float, step_s: float) -> tuple[float, bool]:
    is_refilling = water.tank_mm < TANK_LOW_MM or (water.is_refilling and water.tank_mm < TANK_FULL_MM)
    litres = REFILL_LITRES_PER_S * step_s * is_refilling - given * AREA_M2
    return max(0.0, water.tank_mm + litres / TANK_LITRES_PER_MM), is_refilling
