"""Units as instruments write them, in UCUM. No I/O."""

from collections.abc import Mapping

# What people and their nodes write after a number. Case counts: M is no m.
WRITTEN_UNITS: Mapping[str, str] = {
    "%": "%",
    "%RH": "%",
    "C": "Cel",
    "°C": "Cel",
    "degC": "Cel",
    "F": "[degF]",
    "°F": "[degF]",
    "degF": "[degF]",
    "mm": "mm",
    "cm": "cm",
    "m": "m",
    "mL": "mL",
    "ml": "mL",
    "L": "L",
    "l": "L",
    "L/min": "L/min",
    "l/min": "L/min",
    "g": "g",
    "kg": "kg",
    "t": "t",
    "lb": "[lb_av]",
    "oz": "[oz_av]",
    "Pa": "Pa",
    "hPa": "hPa",
    "kPa": "kPa",
    "mbar": "mbar",
    "bar": "bar",
    "ppm": "[ppm]",
    "pH": "[pH]",
    "uS/cm": "uS/cm",
    "µS/cm": "uS/cm",
    "mS/cm": "mS/cm",
    "dS/m": "dS/m",
    "mV": "mV",
    "V": "V",
    "mA": "mA",
    "A": "A",
    "W": "W",
    "lx": "lx",
    "lux": "lx",
    "m/s": "m/s",
    "km/h": "km/h",
    "ms": "ms",
    "s": "s",
}


def unknown(unit: str) -> str:
    """Return a unit that we do not know as UCUM writes such words; nothing can be converted from it."""
    return f"{{{unit}}}"
