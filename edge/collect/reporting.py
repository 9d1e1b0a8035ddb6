"""Which readings are worth an event: dead-band and heartbeat of each point. Pure, off by default."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.collect.plausibility import rounded
from edge.domain.reading import Reading
from edge.domain.settable import PointConfiguration


@dataclass(frozen=True, slots=True)
class Reported:
    """What was last said about a point, and when."""

    reading: Reading
    at_s: float


def is_reportable(
    reading: Reading, last: Reported | None, configuration: PointConfiguration, *, now_s: float, slack_s: float = 0.0
) -> bool:
    """Whether a reading says something new.

    The comparison is with the value last *reported*: a slow drift cannot hide in steps smaller than the dead-band.
    A heartbeat is due at the poll nearest to its time, hence up to `slack_s` early, half an interval: else a poll that
    came a millisecond too soon would put it off by a whole interval.
    """
    if configuration.deadband <= 0 or last is None:
        return True
    if reading.quality is not last.reading.quality or reading.reason is not last.reading.reason:
        return True
    if now_s - last.at_s >= configuration.max_silence_s - slack_s:
        return True
    return _has_left(configuration.deadband, reading.value, last.reading.value)


def _has_left(deadband: float, value: object, reported: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value != reported
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return True
    # A change of exactly the dead-band lies inside, whatever the binary fractions of 21.5 - 21.4 say.
    return rounded(abs(value - reported), largest=max(abs(value), abs(reported))) > deadband


def select(
    readings: Mapping[str, Reading],
    reported: Mapping[str, Reported],
    configurations: Mapping[str, PointConfiguration],
    *,
    now_s: float,
    slack_s: float = 0.0,
) -> dict[str, Reading]:
    """Return the readings to report, in their order."""
    return {
        point_id: reading
        for point_id, reading in readings.items()
        if is_reportable(reading, reported.get(point_id), configurations[point_id], now_s=now_s, slack_s=slack_s)
    }
