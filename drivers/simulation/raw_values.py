"""From a point's value back to the raw value that its device would say: the inverse of what the decoders do. Pure."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from drivers.decoders.values import ValueOptions
from edge.domain.quantity import conversion
from edge.domain.reading import Value
from edge.domain.settings import PointSettings

# Raw values of the sensors that have a polynomial: counts of a converter, millivolts, ohms.
RAW_MAX = 70_000.0
# Places in which the polynomial is tried, before the one that fits is narrowed down.
_STEPS, _HALVINGS = 512, 60


def raw_value(point: PointSettings, value: Value, *, unit: str | None = None) -> Value:
    """Return what the device would say for a canonical value: a number in its own unit and scale, a word of its map.

    `unit` (UCUM) is the one that the frame names; None, or one that nothing can be converted to = the profile's.
    """
    options = point.options
    assert isinstance(options, ValueOptions)
    for word, meaning in options.map.items():
        if meaning == value and isinstance(meaning, bool) == isinstance(value, bool):
            return word
    if isinstance(value, bool | str):
        return value
    way = point.conversion
    if unit is not None and point.unit is not None:
        way = conversion(unit, point.unit) or way
    number = way.invert(value)
    if options.polynomial:
        return round(inverted(lambda raw: polynomial(options.polynomial, raw), number), 4)
    raw = (number - options.raw_offset) / options.scale
    # A device with a scale counts in whole numbers; the others write a few decimals.
    return float(round(raw)) if abs(options.scale) < 1 else round(raw, 6)


def invalid_value(point: PointSettings) -> Value | None:
    """Return a raw value with which the device says that it has none; None if its profile knows no such thing."""
    options = point.options
    assert isinstance(options, ValueOptions)
    return next(iter(options.invalid_raw), None)


def polynomial(coefficients: Sequence[float], variable: float) -> float:
    """Return the value of a polynomial, its coefficients given from the constant upwards."""
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * variable + coefficient
    return value


def inverted(curve: Callable[[float], float], value: float) -> float:
    """Return a variable from 0 to RAW_MAX at which a curve has this value; where it never has, the nearest one."""
    places = [RAW_MAX * number / _STEPS for number in range(_STEPS + 1)]
    for low, high in pairwise(places):
        if (curve(low) - value) * (curve(high) - value) <= 0:
            return _narrowed(curve, value, low, high)
    return min(places, key=lambda place: abs(curve(place) - value))


def _narrowed(curve: Callable[[float], float], value: float, low: float, high: float) -> float:
    is_rising = curve(high) > curve(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (curve(middle) < value) is is_rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def written(raw: Value) -> str:
    """Write a raw value as instruments do: a number without exponent and superfluous zeros."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        return raw
    text = f"{raw:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
