"""The weather outside, as a pure function of the date, the time of day and a few chances. Rather fine, near Delft."""

import math
from dataclasses import dataclass, replace

from drivers.simulation.noise import Noise, wandered

DAY_S = 86_400.0
YEAR_DAYS = 365.25
LATITUDE = math.radians(52.0)
# Legal time is an hour or two ahead of the sun.
SOLAR_NOON_H = 13.5
# Sunlight above the air, and the share that a clear sky lets through.
SUN_W_PER_M2, CLEAR_SKY = 1361.0, 0.73
# The year's mean temperature and swing; the sun is a month ahead of it.
TEMPERATURE_MEAN, TEMPERATURE_SEASON, WARMEST_DAY = 10.5, 7.0, 205
# The day's swing; the warmest hour comes two to three hours after noon.
TEMPERATURE_SWING = 5.5
WARMEST_H = SOLAR_NOON_H + 2.5
# So far below the day's mean temperature water begins to fall out of the air.
DEW_POINT_BELOW = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the mast outside would measure."""

    irradiance: float
    temperature: float
    # In %.
    relative_humidity: float
    wind_speed: float
    wind_direction: float
    # In hPa.
    pressure: float = 1013.0
    # Share of the light that clouds leave; and how far the temperature is from the hour's usual.
    clearness: float = 0.8
    temperature_deviation: float = 0.0


def sun_height(time_s: float) -> float:
    """Return the sine of the sun's height above the horizon; 0 in the night. `time_s` counts from the year's start."""
    declination = math.radians(-23.44) * math.cos(2 * math.pi * (time_s / DAY_S + 10) / YEAR_DAYS)
    hour_angle = 2 * math.pi * (time_s % DAY_S / 3600 - SOLAR_NOON_H) / 24
    upright = math.sin(LATITUDE) * math.sin(declination)
    return max(0.0, upright + math.cos(LATITUDE) * math.cos(declination) * math.cos(hour_angle))


def initial_weather(time_s: float) -> Weather:
    """Return the usual weather of the hour."""
    calm = Weather(irradiance=0.0, temperature=0.0, relative_humidity=0.0, wind_speed=3.5, wind_direction=230.0)
    return _observed(calm, time_s)


def next_weather(weather: Weather, time_s: float, step_s: float, noise: Noise) -> Weather:
    """Let a few seconds pass outside."""
    changed = replace(
        weather,
        clearness=wandered(weather.clearness, 0.8, 0.15, step_s / 600, noise, low=0.15, high=1.0),
        temperature_deviation=wandered(weather.temperature_deviation, 0.0, 0.8, step_s / 3600, noise),
        wind_speed=wandered(weather.wind_speed, 3.5, 1.2, step_s / 120, noise, low=0.0, high=25.0),
        wind_direction=wandered(weather.wind_direction, 230.0, 25.0, step_s / 900, noise) % 360,
        pressure=wandered(weather.pressure, 1013.0, 8.0, step_s / 86_400, noise),
    )
    return _observed(changed, time_s)


def _observed(weather: Weather, time_s: float) -> Weather:
    season = math.cos(2 * math.pi * (time_s / DAY_S - WARMEST_DAY) / YEAR_DAYS)
    mean = TEMPERATURE_MEAN + TEMPERATURE_SEASON * season
    wave = math.cos(2 * math.pi * (time_s % DAY_S / 3600 - WARMEST_H) / 24)
    temperature = mean + TEMPERATURE_SWING * wave + weather.temperature_deviation
    dew_point = min(mean - DEW_POINT_BELOW, temperature)
    return replace(
        weather,
        irradiance=SUN_W_PER_M2 * CLEAR_SKY * sun_height(time_s) * weather.clearness,
        temperature=temperature,
        relative_humidity=100 * vapour_pressure_kpa(dew_point) / vapour_pressure_kpa(temperature),
    )


def vapour_pressure_kpa(temperature: float) -> float:
    """Saturation vapour pressure over water (FAO-56)."""
    return 0.6108 * math.exp(17.27 * temperature / (temperature + 237.3))


def dew_point(temperature: float, relative_humidity: float) -> float:
    """Return the temperature at which this air's water begins to fall out; the inverse of the above."""
    logarithm = math.log(max(0.1, relative_humidity) / 100 * vapour_pressure_kpa(temperature) / 0.6108)
    return 237.3 * logarithm / (17.27 - logarithm)
