"""The catalogue of what can be measured, its canonical UCUM units, and the conversions into them.

The catalogue is open: a profile may name a quantity of its own, `x_` and a name, with a UCUM unit of its own.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

# What the catalogue does not know. The prefix keeps such a name apart from every name that the catalogue may get later.
OWN_QUANTITY_PATTERN = r"^x_[a-z0-9][a-z0-9_]{0,61}$"

_OWN_QUANTITY = re.compile(OWN_QUANTITY_PATTERN, re.ASCII)
# UCUM, section 2: a unit is written in the visible characters of ASCII, without spaces.
_UCUM_CHARACTERS = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """From a device's unit to the canonical one: canonical = factor * value + offset."""

    factor: float = 1.0
    offset: float = 0.0

    def apply(self, value: float) -> float:
        """Convert a value into the canonical unit."""
        return self.factor * value + self.offset

    def invert(self, value: float) -> float:
        """Convert a canonical value back, for writing."""
        return (value - self.offset) / self.factor


IDENTITY = Conversion()


class PointKind(StrEnum):
    """How a value goes on from one sample to the next. Public API."""

    # It goes up and down, and each value counts.
    GAUGE = "gauge"
    # It rises, and starts anew when the device does or when its period is over: the difference counts.
    COUNTER = "counter"
    # One of a few: a text, a switch, the number of a mode.
    STATE = "state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One thing that can be measured."""

    id: str
    title: str
    # UCUM, case sensitive.
    unit: str
    # How people write the unit.
    symbol: str
    # What a greenhouse can plausibly show; a profile's `range` is narrower.
    low: float
    high: float
    # Of a point that measures it, unless its profile says otherwise.
    kind: PointKind = PointKind.GAUGE


# What devices add up.
_COUNTERS = frozenset({"rainfall", "radiation_sum", "volume", "energy", "count"})


def _catalogue(*rows: tuple[str, str, str, str, float, float]) -> dict[str, Quantity]:
    return {
        name: Quantity(
            id=name,
            title=title,
            unit=unit,
            symbol=symbol,
            low=low,
            high=high,
            kind=PointKind.COUNTER if name in _COUNTERS else PointKind.GAUGE,
        )
        for name, title, unit, symbol, low, high in rows
    }


QUANTITIES = _catalogue(
    ("air_temperature", "Air temperature", "Cel", "°C", -40, 80),
    ("outside_temperature", "Outside temperature", "Cel", "°C", -60, 60),
    ("substrate_temperature", "Substrate temperature", "Cel", "°C", -40, 80),
    ("water_temperature", "Water temperature", "Cel", "°C", -5, 100),
    ("pipe_temperature", "Pipe temperature", "Cel", "°C", -20, 120),
    ("leaf_temperature", "Leaf temperature", "Cel", "°C", -40, 80),
    ("device_temperature", "Device temperature", "Cel", "°C", -60, 150),
    ("dew_point", "Dew point", "Cel", "°C", -80, 80),
    ("relative_humidity", "Relative humidity", "%", "%", 0, 100),
    ("absolute_humidity", "Absolute humidity", "g/m3", "g/m³", 0, 200),
    ("vapour_pressure_deficit", "Vapour pressure deficit", "kPa", "kPa", 0, 20),
    ("co2_concentration", "CO2 concentration", "[ppm]", "ppm", 0, 20_000),
    ("photon_flux_density", "Photosynthetic photon flux density", "umol/m2/s", "µmol/m²/s", 0, 4000),
    ("daily_light_integral", "Daily light integral", "mol/m2", "mol/m²", 0, 120),
    ("irradiance", "Irradiance", "W/m2", "W/m²", -20, 2000),
    ("illuminance", "Illuminance", "lx", "lx", 0, 200_000),
    ("air_pressure", "Air pressure", "hPa", "hPa", 300, 1200),
    ("wind_speed", "Wind speed", "m/s", "m/s", 0, 90),
    ("wind_direction", "Wind direction", "deg", "°", 0, 360),
    ("rainfall", "Rainfall", "mm", "mm", 0, 10_000),
    ("rain_rate", "Rain rate", "mm/h", "mm/h", 0, 1000),
    ("water_content", "Water content of the substrate", "%", "%", 0, 100),
    ("matric_potential", "Matric potential of the substrate", "kPa", "kPa", -1_000_000, 0),
    ("ec", "Electrical conductivity", "mS/cm", "mS/cm", 0, 500),
    ("ph", "pH", "[pH]", "pH", 0, 14),
    ("redox_potential", "Redox potential", "mV", "mV", -2000, 2000),
    ("dissolved_oxygen", "Dissolved oxygen", "mg/L", "mg/L", 0, 100),
    ("salinity", "Salinity", "mg/L", "mg/L", 0, 100_000),
    ("total_dissolved_solids", "Total dissolved solids", "mg/L", "mg/L", 0, 100_000),
    ("nitrogen", "Nitrogen in the substrate", "mg/kg", "mg/kg", 0, 10_000),
    ("phosphorus", "Phosphorus in the substrate", "mg/kg", "mg/kg", 0, 10_000),
    ("potassium", "Potassium in the substrate", "mg/kg", "mg/kg", 0, 10_000),
    ("ammonia", "Ammonia concentration", "[ppm]", "ppm", 0, 1000),
    ("leaf_wetness", "Leaf wetness", "%", "%", 0, 100),
    ("sap_flow", "Sap flow", "g/h", "g/h", -1000, 100_000),
    ("radiation_sum", "Radiation sum", "J/cm2", "J/cm²", 0, 10_000),
    ("water_level", "Water level", "mm", "mm", -10_000, 100_000),
    ("distance", "Distance", "mm", "mm", 0, 100_000),
    ("volume", "Volume", "L", "L", 0, 1e12),
    ("flow_rate", "Flow rate", "L/min", "L/min", -100_000, 100_000),
    ("line_pressure", "Pressure in a pipe or tank", "bar", "bar", -1, 100),
    ("mass", "Mass", "kg", "kg", -100_000, 100_000),
    ("particle_concentration", "Particle concentration", "ug/m3", "µg/m³", 0, 10_000),
    ("position", "Position of a vent, valve or screen", "%", "%", 0, 100),
    ("frequency", "Frequency", "Hz", "Hz", -1000, 1000),
    ("rotational_speed", "Rotational speed", "/min", "rpm", -100_000, 100_000),
    ("voltage", "Voltage", "V", "V", -1000, 1000),
    ("current", "Current", "A", "A", -10_000, 10_000),
    ("power", "Power", "W", "W", -1e7, 1e7),
    ("power_factor", "Power factor", "1", "", -1, 1),
    ("energy", "Energy", "kW.h", "kWh", 0, 1e12),
    ("battery_level", "Battery level", "%", "%", 0, 100),
    ("duration", "Duration", "s", "s", 0, 1e10),
    ("count", "Count", "1", "", 0, 1e18),
)

# (from, to): canonical = factor * value + offset. Both ends are UCUM codes.
_CONVERSIONS: dict[tuple[str, str], Conversion] = {
    ("[degF]", "Cel"): Conversion(factor=5 / 9, offset=-160 / 9),
    ("K", "Cel"): Conversion(offset=-273.15),
    ("uS/cm", "mS/cm"): Conversion(factor=0.001),
    ("S/m", "mS/cm"): Conversion(factor=10),
    ("dS/m", "mS/cm"): Conversion(),
    ("mS/m", "mS/cm"): Conversion(factor=0.01),
    ("m3/m3", "%"): Conversion(factor=100),
    ("1", "%"): Conversion(factor=100),
    ("Pa", "hPa"): Conversion(factor=0.01),
    ("kPa", "hPa"): Conversion(factor=10),
    ("mbar", "hPa"): Conversion(),
    ("bar", "hPa"): Conversion(factor=1000),
    ("mm[Hg]", "hPa"): Conversion(factor=1.33322387415),
    ("[in_i'Hg]", "hPa"): Conversion(factor=33.86388640341),
    ("[psi]", "hPa"): Conversion(factor=68.94757293168),
    ("[in_i'H2O]", "hPa"): Conversion(factor=2.490889),
    ("Pa", "bar"): Conversion(factor=0.00001),
    ("hPa", "bar"): Conversion(factor=0.001),
    ("kPa", "bar"): Conversion(factor=0.01),
    ("MPa", "bar"): Conversion(factor=10),
    ("mbar", "bar"): Conversion(factor=0.001),
    ("m[H2O]", "bar"): Conversion(factor=0.0980665),
    ("[psi]", "bar"): Conversion(factor=0.06894757293168),
    ("[in_i'H2O]", "bar"): Conversion(factor=0.002490889),
    ("Pa", "kPa"): Conversion(factor=0.001),
    ("bar", "kPa"): Conversion(factor=100),
    ("[psi]", "kPa"): Conversion(factor=6.894757293168),
    ("hPa", "kPa"): Conversion(factor=0.1),
    ("km/h", "m/s"): Conversion(factor=1 / 3.6),
    ("[kn_i]", "m/s"): Conversion(factor=1852 / 3600),
    ("[mi_i]/h", "m/s"): Conversion(factor=0.44704),
    ("[ft_i]/min", "m/s"): Conversion(factor=0.00508),
    ("[ft_i]/s", "m/s"): Conversion(factor=0.3048),
    ("m", "mm"): Conversion(factor=1000),
    ("cm", "mm"): Conversion(factor=10),
    ("[in_i]", "mm"): Conversion(factor=25.4),
    ("[ft_i]", "mm"): Conversion(factor=304.8),
    ("[in_i]/h", "mm/h"): Conversion(factor=25.4),
    ("m3", "L"): Conversion(factor=1000),
    ("mL", "L"): Conversion(factor=0.001),
    ("[gal_us]", "L"): Conversion(factor=3.785411784),
    ("[foz_us]", "L"): Conversion(factor=0.0295735295625),
    ("[cft_i]", "L"): Conversion(factor=28.316846592),
    ("m3/h", "L/min"): Conversion(factor=1000 / 60),
    ("L/h", "L/min"): Conversion(factor=1 / 60),
    ("L/s", "L/min"): Conversion(factor=60),
    ("mL/min", "L/min"): Conversion(factor=0.001),
    ("[gal_us]/min", "L/min"): Conversion(factor=3.785411784),
    ("[gal_us]/h", "L/min"): Conversion(factor=3.785411784 / 60),
    ("[cft_i]/min", "L/min"): Conversion(factor=28.316846592),
    ("kg/h", "g/h"): Conversion(factor=1000),
    ("mg/h", "g/h"): Conversion(factor=0.001),
    ("[ppb]", "[ppm]"): Conversion(factor=0.001),
    ("J/m2", "J/cm2"): Conversion(factor=0.0001),
    ("kJ/m2", "J/cm2"): Conversion(factor=0.1),
    ("MJ/m2", "J/cm2"): Conversion(factor=100),
    ("W.h/m2", "J/cm2"): Conversion(factor=0.36),
    ("kW.h/m2", "J/cm2"): Conversion(factor=360),
    ("{rev}/min", "/min"): IDENTITY,
    ("/s", "/min"): Conversion(factor=60),
    ("Hz", "/min"): Conversion(factor=60),
    ("/min", "Hz"): Conversion(factor=1 / 60),
    ("g", "kg"): Conversion(factor=0.001),
    ("t", "kg"): Conversion(factor=1000),
    ("[lb_av]", "kg"): Conversion(factor=0.45359237),
    ("[oz_av]", "kg"): Conversion(factor=0.028349523125),
    ("g/L", "mg/L"): Conversion(factor=1000),
    ("mV", "V"): Conversion(factor=0.001),
    ("V", "mV"): Conversion(factor=1000),
    ("mA", "A"): Conversion(factor=0.001),
    ("kW", "W"): Conversion(factor=1000),
    ("W.h", "kW.h"): Conversion(factor=0.001),
    ("MW.h", "kW.h"): Conversion(factor=1000),
    ("MJ", "kW.h"): Conversion(factor=1 / 3.6),
    ("[Btu_IT]", "kW.h"): Conversion(factor=0.0002930710701722),
    ("[Btu_IT]/h", "W"): Conversion(factor=0.2930710701722),
    ("[HP]", "W"): Conversion(factor=745.6998715822702),
    # A count has no unit; instruments name what they count.
    ("{pulses}", "1"): IDENTITY,
    ("{counts}", "1"): IDENTITY,
    ("min", "s"): Conversion(factor=60),
    ("h", "s"): Conversion(factor=3600),
    ("d", "s"): Conversion(factor=86_400),
    ("ms", "s"): Conversion(factor=0.001),
    ("klx", "lx"): Conversion(factor=1000),
    ("kW/m2", "W/m2"): Conversion(factor=1000),
}


# Words that make something else of the quantity before them: a `power_factor` is no power, a `wind_speed_quality` no
# speed. Words of a place, a time or a statistic (supply, l1, max) do not.
_OTHER_MEASURES = frozenset(
    [
        "alarm",
        "angle",
        "code",
        "count",
        "counter",
        "direction",
        "duration",
        "error",
        "factor",
        "fault",
        "flag",
        "flow",
        "fraction",
        "harmonics",
        "imbalance",
        "index",
        "interval",
        "mode",
        "percent",
        "percentage",
        "quality",
        "rate",
        "ratio",
        "state",
        "status",
        "thd",
        "time",
        "trend",
        "unbalance",
        "unit",
    ]
)


def quantity_of(point_id: str) -> Quantity | None:
    """Find the quantity a point id names: the id itself, or its longest prefix that ends at an underscore.

    `pipe_temperature_supply` is a `pipe_temperature`. None where the rest of the id names another measure
    (`voltage_unbalance`): a unit is then never taken from the id.
    """
    name, rest = point_id, ""
    while name:
        if name in QUANTITIES:
            return None if _OTHER_MEASURES.intersection(rest.split("_")) else QUANTITIES[name]
        name, _, word = name.rpartition("_")
        rest = f"{word}_{rest}"
    return None


def own_quantity(name: str, unit: str | None) -> Quantity | None:
    """Return the quantity that a profile declares by `x_` and a name with a UCUM unit of its own; None if it is none.

    No conversion leads to its unit, and nothing is known of what is plausible.
    """
    if not _OWN_QUANTITY.fullmatch(name) or unit is None or not _UCUM_CHARACTERS.fullmatch(unit):
        return None
    title = name.removeprefix("x_").replace("_", " ").capitalize()
    return Quantity(id=name, title=title, unit=unit, symbol=unit, low=-math.inf, high=math.inf)


def conversion(unit: str, canonical_unit: str) -> Conversion | None:
    """Return the way from a unit to the canonical one; None if there is none."""
    return IDENTITY if unit == canonical_unit else _CONVERSIONS.get((unit, canonical_unit))


def units_for(canonical_unit: str) -> tuple[str, ...]:
    """All units that can be converted into this one, itself first; for messages."""
    return (canonical_unit, *(unit for unit, canonical in _CONVERSIONS if canonical == canonical_unit))
