"""A small greenhouse that lives in seconds of its own, and what can be measured in it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from drivers.simulation.climate import STEP_S_MAX, Climate, next_climate
from drivers.simulation.noise import Noise
from drivers.simulation.water import SLAB_LITRES_PER_M2, Water, next_water
from drivers.simulation.weather import (
    DAY_S,
    Weather,
    dew_point,
    initial_weather,
    next_weather,
    vapour_pressure_kpa,
)

# The middle of May.
DAY_OF_YEAR = 135
# Long enough for the states to forget where they started.
SETTLING_S = 6 * 3600.0
# After a longer pause (a suspended laptop) the house skips ahead rather than work off a whole night at once.
CATCH_UP_S_MAX = 6 * 3600.0
# Shorter steps only cost time; a poll each second still sees something move.
STEP_S_MIN = 1.0
# umol of photons in a J of sunlight: half is PAR, 4.6 umol/J; and what roof, structure and dirt let through.
PHOTONS_PER_J = 0.5 * 4.6
ROOF_TRANSMISSION = 0.7
# Lux in a W/m2 of sunlight.
LUX_PER_W = 110.0
# What the slabs of a square metre weigh without their water; a scale carries half a metre.
DRY_SLAB_KG = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything at one moment."""

    # Since New Year's midnight.
    time_s: float
    weather: Weather
    climate: Climate
    water: Water
    # mol of photons on a m2 inside since midnight.
    light_mol: float = 0.0


def next_house(house: House, step_s: float, noise: Noise) -> House:
    """Let a few seconds pass, at most STEP_S_MAX."""
    time_s = house.time_s + step_s
    weather = next_weather(house.weather, time_s, step_s, noise)
    climate = next_climate(house.climate, weather, step_s)
    is_new_day = time_s // DAY_S > house.time_s // DAY_S
    light_mol = 0.0 if is_new_day else house.light_mol
    return House(
        time_s=time_s,
        weather=weather,
        climate=climate,
        water=next_water(house.water, climate, weather, step_s, noise),
        light_mol=light_mol + PHOTONS_PER_J * ROOF_TRANSMISSION * weather.irradiance * step_s * 1e-6,
    )


class Greenhouse:
    """The house as it goes along. Equal seeds and equal steps give equal days."""

    def __init__(self, house: House, noise: Noise) -> None:
        self.house = house
        self._noise = noise
        # Time that is too short for a step of its own.
        self._left_s = 0.0

    @classmethod
    def at(cls, time_of_day_s: float, *, seed: int, day_of_year: int = DAY_OF_YEAR) -> Self:
        """Build a house that has settled by this time of the day."""
        start_s = (day_of_year - 1) * DAY_S + time_of_day_s - SETTLING_S
        house = House(time_s=start_s, weather=initial_weather(start_s), climate=Climate(), water=Water())
        greenhouse = cls(house, random.Random(seed))  # noqa: S311 - to be repeated, not to be secret
        greenhouse.advance(SETTLING_S)
        return greenhouse

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps that the equations can bear."""
        self._left_s = min(self._left_s + seconds, CATCH_UP_S_MAX)
        while self._left_s >= STEP_S_MIN:
            step_s = min(STEP_S_MAX, self._left_s)
            self.house = next_house(self.house, step_s, self._noise)
            self._left_s -= step_s

    def indoor(self) -> Mapping[str, float]:
        """Return what a perfect sensor inside would tell, by quantity, in canonical units."""
        climate, water, weather = self.house.climate, self.house.water, self.house.weather
        vapour = vapour_pressure_kpa(climate.temperature)
        light = ROOF_TRANSMISSION * weather.irradiance
        return {
            **self._anywhere(),
            **_air(climate.temperature, climate.relative_humidity, light),
            "leaf_temperature": climate.temperature - 0.5,
            "absolute_humidity": 1000 * climate.humidity,
            "vapour_pressure_deficit": vapour * (1 - climate.relative_humidity / 100),
            "co2_concentration": climate.co2_ppm,
            "daily_light_integral": self.house.light_mol,
            "pipe_temperature": climate.temperature + 35 * climate.heating / 150,
            "position": climate.vent_position,
            "screen_position": 100 * climate.screen,
            "water_content": water.water_content,
            "ec": water.ec,
            "ph": water.ph,
            "substrate_temperature": water.temperature,
            "mass": 0.5 * (SLAB_LITRES_PER_M2 * water.water_content / 100 + DRY_SLAB_KG),
        }

    def outdoor(self) -> Mapping[str, float]:
        """Return what a perfect sensor on the mast would tell."""
        weather = self.house.weather
        return {
            **self._anywhere(),
            **_air(weather.temperature, weather.relative_humidity, weather.irradiance),
            "co2_concentration": 400.0,
        }

    def _anywhere(self) -> dict[str, float]:
        weather, water = self.house.weather, self.house.water
        return {
            "outside_temperature": weather.temperature,
            "wind_speed": weather.wind_speed,
            "wind_speed_min": 0.5 * weather.wind_speed,
            "wind_speed_max": 1.6 * weather.wind_speed + 0.5,
            "wind_direction": weather.wind_direction,
            "wind_direction_min": (weather.wind_direction - 20) % 360,
            "wind_direction_max": (weather.wind_direction + 20) % 360,
            "air_pressure": weather.pressure,
            "water_temperature": 16.0,
            "water_level": water.tank_mm,
            "flow_rate": water.flow_rate,
            "volume": water.given_litres,
            "power": water.power,
            "current": water.power / 230.0,
            **{f"power_l{phase}": water.power / 3 for phase in (1, 2, 3)},
            **{f"current_l{phase}": water.power / 3 / 230.0 for phase in (1, 2, 3)},
            "energy": water.energy_kwh,
            "voltage": 230.0,
            "battery_voltage": 3.0,
            "supply_voltage": 12.2,
            "frequency": 50.0,
        }


def _air(temperature: float, relative_humidity: float, irradiance: float) -> dict[str, float]:
    return {
        "air_temperature": temperature,
        "relative_humidity": relative_humidity,
        "dew_point": dew_point(temperature, relative_humidity),
        "photon_flux_density": PHOTONS_PER_J * irradiance,
        "irradiance": irradiance,
        "illuminance": LUX_PER_W * irradiance,
    }
