"""The weather outside, as a pure function of the time of day and of a few chances. A clear May day in the Netherlands."""

import math
from dataclasses import dataclass, replace

from drivers.simulation.noise import Noise, wandered

DAY_S = 86_400.0
SUNRISE_H = 5.75
SUNSET_H = 21.25
# Clear-sky maximum of global radiation in May.
SUN_W_PER_M2_MAX = 850.0
TEMPERATURE_MEAN = 13.5
TEMPERATURE_SWING = 6.0
# The warmest hour comes two to three hours after noon.
WARMEST_H = 16.0
DEW_POINT = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the mast outside would measure."""

    irradiance: float
    temperature: float
    # In %.
    relative_humidity: float
    wind_speed: float
    wind_direction: float
    # Share of the light that clouds leave; and how far temperature and wind are from the hour's usual.
    clearness: float = 0.8
    temperature_deviation: float = 0.0


def initial_weather(time_of_day_s: float) -> Weather:
    """Return the usual weather of the hour."""
    calm = Weather(irradiance=0.0, temperature=0.0, relative_humidity=0.0, wind_speed=3.5, wind_direction=230.0)
    return _observed(calm, time_of_day_s)


def next_weather(weather: Weather, time_of_day_s: float, step_s: float, noise: Noise) -> Weather:
    """Let a few seconds pass outside."""
    changed = replace(
        weather,
        clearness=wandered(weather.clearness, 0.8, 0.15, step_s / 600, noise, low=0.15, high=1.0),
        temperature_deviation=wandered(weather.temperature_deviation, 0.0, 0.8, step_s / 3600, noise),
        wind_speed=wandered(weather.wind_speed, 3.5, 1.2, step_s / 120, noise, low=0.0, high=25.0),
        wind_direction=wandered(weather.wind_direction, 230.0, 25.0, step_s / 900, noise) % 360,
    )
    return _observed(changed, time_of_day_s)


def _observed(weather: Weather, time_of_day_s: float) -> Weather:
    hour = (time_of_day_s % DAY_S) / 3600
    height = math.sin(math.pi * (hour - SUNRISE_H) / (SUNSET_H - SUNRISE_H)) if SUNRISE_H < hour < SUNSET_H else 0.0
    wave = math.cos(2 * math.pi * (hour - WARMEST_H) / 24)
    temperature = TEMPERATURE_MEAN + TEMPERATURE_SWING * wave + weather.temperature_deviation
    humidity = 100 * vapour_pressure_kpa(min(DEW_POINT, temperature)) / vapour_pressure_kpa(temperature)
    return replace(
        weather,
        irradiance=SUN_W_PER_M2_MAX * max(0.0, height) * weather.clearness,
        temperature=temperature,
        relative_humidity=humidity,
    )


def vapour_pressure_kpa(temperature: float) -> float:
    """Saturation vapour pressure over water (FAO-56)."""
    return 0.6108 * math.exp(17.27 * temperature / (temperature + 237.3))
