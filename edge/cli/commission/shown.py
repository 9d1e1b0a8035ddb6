"""How the commissioning verbs show readings: judged as the daemon would, as JSON or as lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from edge.collect.plausibility import judge
from edge.domain.configuration import site_file_configuration
from edge.domain.event import Json
from edge.domain.quantity import QUANTITIES
from edge.domain.reading import Quality, Reading

if TYPE_CHECKING:
    from edge.domain.settings import DeviceSettings


def judged(device: "DeviceSettings", readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """Return the published readings as the daemon would report them: range checked, gain and offset applied."""
    configured = site_file_configuration(device).points
    return {
        point.id: judge(readings[point.id], point, configured[point.id])
        for point in device.points
        if point.publish and point.id in readings
    }


def record(reading: Reading) -> dict[str, Json]:
    """Return a reading as the verbs' JSON has it."""
    return {
        "value": reading.value,
        "unit": reading.unit,
        "quality": reading.quality.value,
        "reason": None if reading.reason is None else reading.reason.value,
    }


def records(readings: Mapping[str, Reading]) -> dict[str, Json]:
    """Return readings by point."""
    return {point_id: record(reading) for point_id, reading in readings.items()}


def lines(readings: Mapping[str, Reading], device: "DeviceSettings | None" = None) -> Iterator[str]:
    """Return a line for each reading."""
    width = max(map(len, readings), default=0)
    for point_id, reading in readings.items():
        point = None if device is None else device.point(point_id)
        quantity = QUANTITIES.get(point.quantity or "") if point else None
        yield f"{point_id:<{width}}  {_value(reading, None if quantity is None else quantity.symbol)}"


def _value(reading: Reading, symbol: str | None) -> str:
    unit = reading.unit if symbol is None else symbol
    value = reading.value
    text = "-" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value).lower()
    if isinstance(value, str):
        text = repr(value)
    if value is not None and unit and unit != "1":
        text = f"{text} {unit}"
    if reading.quality is Quality.GOOD:
        return text
    why = "" if reading.reason is None else f": {reading.reason.value.replace('_', ' ')}"
    return f"{text}  ({reading.quality.value}{why})"
