"""The air and the crop inside, after van Henten (2003): temperature, humidity, CO2, dry matter. Pure.

Equations and parameters: facts/devices.md section 4 (davkat1/GreenLight, greenhouse_evh2003.json); photosynthesis and
growth of the same model. The climate computer is a few proportional bands with the set-points given there, and a screen
that is drawn in cold nights.
"""

import math
from dataclasses import dataclass, replace

from drivers.simulation.weather import Weather

# kg/m3 of CO2 in one ppm: 7.2e-4 kg/m3 are 400 ppm.
CO2_KG_PER_PPM = 1.8e-6
CO2_OUTSIDE = 7.2e-4

HEAT_CAPACITY = 30_000.0  # J/m2/K
ROOF_LOSS = 6.1  # W/m2/K
VENT_LOSS = 1290.0  # J/m3/K
SOLAR_GAIN = 0.2
AIR_HEIGHT = 4.1  # m3 of air over each m2
LEAK = 0.75e-4  # m/s
VENT_MAX = 5e-3  # m/s, 4.4 air changes an hour
HEATING_MAX = 150.0  # W/m2
CO2_SUPPLY_MAX = 5.1e-6  # kg/m2/s

# The share of the roof's loss that a drawn screen saves (energy screens: 30 to 50 %), its travel time, and when it is
# drawn.
SCREEN_SAVING = 0.4
SCREEN_TRAVEL_S = 240.0
SCREEN_IRRADIANCE, SCREEN_TEMPERATURE = 5.0, 12.0

HEATING_DAY, HEATING_NIGHT = 19.5, 18.5
# Vents open so far above the heating set-point, over this band.
VENT_DEAD_ZONE, VENT_BAND = 5.0, 4.0
HUMIDITY_MAX, HUMIDITY_BAND = 85.0, 8.0
CO2_TARGET_PPM, CO2_BAND_PPM = 1000.0, 100.0
DAYLIGHT = 30.0  # W/m2 outside

# Longer steps would swing about the equilibrium.
STEP_S_MAX = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """The four states of the model, per m2 of floor, and what the climate computer does about them."""

    temperature: float = 19.0
    # kg of water in a m3 of air.
    humidity: float = 0.0115
    # kg of CO2 in a m3 of air.
    co2: float = 9e-4
    # kg of dry matter on a m2.
    crop: float = 0.2
    vent: float = 0.0
    # How far the screen is drawn, from 0 to 1.
    screen: float = 0.0
    heating: float = 0.0
    co2_supply: float = 0.0
    # kg of water that the crop gives to the air, per m2 and second.
    transpiration: float = 0.0

    @property
    def co2_ppm(self) -> float:
        """CO2 as sensors tell it."""
        return self.co2 / CO2_KG_PER_PPM

    @property
    def relative_humidity(self) -> float:
        """Humidity as sensors tell it, in %."""
        return min(100.0, 100 * self.humidity / saturation(self.temperature))

    @property
    def vent_position(self) -> float:
        """How far the vents stand open, in %."""
        return 100 * self.vent / VENT_MAX


def saturation(temperature: float) -> float:
    """Return the water that a m3 of air can hold, in kg."""
    return 9348 / (8314 * (temperature + 273.15)) * math.exp(17.4 * temperature / (temperature + 239))


def next_climate(climate: Climate, weather: Weather, step_s: float) -> Climate:
    """Let a few seconds pass inside: first the climate computer decides, then physics follows."""
    assert 0 < step_s <= STEP_S_MAX
    now = _controlled(climate, weather, step_s)
    leaves = 1 - math.exp(-53 * now.crop)
    transpiration = max(0.0, leaves * 3.6e-3 * (saturation(now.temperature) - now.humidity))
    exchange = now.vent + LEAK
    outside = saturation(weather.temperature) * weather.relative_humidity / 100
    photosynthesis = leaves * _assimilation(now, weather)
    warmth = 2 ** (0.1 * now.temperature - 2.5)
    respiration = 4.87e-7 * now.crop * warmth
    loss = VENT_LOSS * now.vent + ROOF_LOSS * (1 - SCREEN_SAVING * now.screen)
    heat = now.heating + SOLAR_GAIN * weather.irradiance - loss * (now.temperature - weather.temperature)
    water = transpiration - exchange * (now.humidity - outside)
    carbon = now.co2_supply - photosynthesis + respiration - exchange * (now.co2 - CO2_OUTSIDE)
    temperature = now.temperature + step_s * heat / HEAT_CAPACITY
    return replace(
        now,
        temperature=temperature,
        # What the air cannot hold runs down the glass.
        humidity=min(saturation(temperature), max(1e-4, now.humidity + step_s * water / AIR_HEIGHT)),
        co2=max(1e-4, now.co2 + step_s * carbon / AIR_HEIGHT),
        crop=now.crop + step_s * (0.544 * photosynthesis - 2.65e-7 * now.crop * warmth),
        transpiration=transpiration,
    )


def _controlled(climate: Climate, weather: Weather, step_s: float) -> Climate:
    is_day = weather.irradiance > DAYLIGHT
    target = HEATING_DAY if is_day else HEATING_NIGHT
    too_warm = (climate.temperature - target - VENT_DEAD_ZONE) / VENT_BAND
    too_humid = (climate.relative_humidity - HUMIDITY_MAX) / HUMIDITY_BAND
    vent = VENT_MAX * _share(max(too_warm, 0.4 * too_humid))
    # Above the wanted humidity the screen lets water through to the cold glass (GreenLight: screens forced open).
    is_drawn = weather.irradiance < SCREEN_IRRADIANCE and weather.temperature < SCREEN_TEMPERATURE and too_humid < 1
    wants_co2 = is_day and vent < 0.1 * VENT_MAX
    hungry = _share((CO2_TARGET_PPM - climate.co2_ppm) / CO2_BAND_PPM)
    return replace(
        climate,
        vent=vent,
        screen=_share(climate.screen + (step_s if is_drawn else -step_s) / SCREEN_TRAVEL_S),
        heating=HEATING_MAX * _share((target - climate.temperature) / 2),
        co2_supply=CO2_SUPPLY_MAX * hungry if wants_co2 else 0.0,
    )


def _assimilation(climate: Climate, weather: Weather) -> float:
    """Return the CO2 that closed foliage takes up, in kg per m2 and second."""
    temperature = climate.temperature
    light = 3.55e-9 * weather.irradiance
    diffusion = max(1e-6, -5.11e-6 * temperature**2 + 2.3e-4 * temperature - 6.29e-4)
    carbon = diffusion * max(0.0, climate.co2 - 5.2e-5)
    return light * carbon / (light + carbon) if light + carbon > 0 else 0.0


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
