"""From what a device measured to what is reported: range check, then correction. Pure."""

import math

from edge.domain.json_form import SIGNIFICANT_DIGITS
from edge.domain.reading import Quality, Reading, Reason, bad
from edge.domain.settable import PointConfiguration
from edge.domain.settings import PointSettings, ValueType

# 0.1 + 0.2 is 0.30000000000000004, and a grower who corrects 21.4 by -0.3 wants 21.1. A driver's scale makes such
# noise, too (0.001 * 100100), so a number is rounded to 12 digits before it is looked at. Gain and offset cost a few
# units in the last place of the largest number that takes part, so their result is rounded to 12 digits, counted from
# that number's first digit: a small difference of two large numbers has no more true digits than they had. No sensor
# gives 12 digits. A counter with more is a whole number, which is not rounded unless it is corrected.


def judge(reading: Reading, point: PointSettings, configuration: PointConfiguration) -> Reading:
    """Round a reading, check it against its point's range, then correct it. What is not a number passes untouched."""
    value = reading.value
    if point.type is not ValueType.NUMBER or value is None:
        return reading
    assert not isinstance(value, str)
    if type(value) is float:
        # An f-string is slower; this is done for each reading of each sample.
        value = float("%.12g" % value)  # noqa: UP031
    quality, reason = reading.quality, reading.reason
    limits = point.range
    # What the driver doubts already keeps the driver's reason: it knows more than a range.
    if limits is not None and quality is Quality.GOOD and not limits.low <= value <= limits.high:
        quality, reason = Quality.UNCERTAIN, Reason.OUT_OF_RANGE
    if configuration.gain != 1.0 or configuration.offset != 0.0:
        value = corrected(value, gain=configuration.gain, offset=configuration.offset)
        if not math.isfinite(value):
            return bad(Reason.SENSOR_FAULT, reading.unit)
    elif quality is reading.quality and value == reading.value:
        return reading
    return Reading(value=value, unit=reading.unit, quality=quality, reason=reason)


def corrected(value: float, *, gain: float, offset: float) -> float:
    """Return gain * value + offset, without the noise of binary fractions."""
    scaled = gain * value
    result = scaled + offset
    return rounded(result, largest=max(abs(scaled), abs(offset), abs(result)))


def rounded(value: float, *, largest: float) -> float:
    """Round a result to the digits that the largest number behind it had."""
    if largest == 0.0 or not math.isfinite(largest):
        return value
    # Adding zero makes 0.0 of -0.0.
    return round(value, SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(largest))) + 0.0


_TYPES: dict[ValueType, type | tuple[type, ...]] = {
    ValueType.NUMBER: (float, int),
    ValueType.BOOLEAN: bool,
    ValueType.TEXT: str,
}
# What a double, hence a reader's JSON number, can hold.
_WHOLE_NUMBER_MAX = 2**1023


def mistake(reading: Reading, point: PointSettings) -> str | None:
    """Say what is wrong with a reading that its point cannot have; None if nothing. A mistake is a driver's bug."""
    value = reading.value
    if reading.unit != point.unit:
        return f"{point.id} is in {reading.unit!r}; its unit is {point.unit!r}"
    if value is None:
        return None
    is_misplaced_boolean = isinstance(value, bool) and point.type is not ValueType.BOOLEAN
    if is_misplaced_boolean or not isinstance(value, _TYPES[point.type]):
        return f"{point.id} is a {type(value).__name__}; its type is {point.type.value}"
    if isinstance(value, int) and abs(value) > _WHOLE_NUMBER_MAX:
        return f"{point.id} is a number of more than 300 digits"
    return None
