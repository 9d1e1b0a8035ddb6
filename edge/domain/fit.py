"""How well a profile fits what a device said: what a driver's look at a connection guesses from. Public API. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.domain.reading import Quality, Reading, Value
from edge.domain.settings import DeviceSettings, PointSettings, ValueType

# More alternatives are no help to a person.
ALTERNATIVES_MAX = 3


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A profile that fits."""

    profile: str
    # Points whose values speak for it, of how many that it publishes.
    evidence: int
    points: int
    # What else speaks for it, where the evidence is equal: the factory's address, words of a topic.
    bonus: int = 0


def fit_of(model: DeviceSettings, readings: Mapping[str, Reading], *, bonus: int = 0) -> Fit | None:
    """Return how well a model fits these readings; None if not one value speaks for it."""
    found = len(good_values(model, readings))
    return Fit(profile=model.id, evidence=found, points=published_count(model), bonus=bonus) if found else None


def good_values(model: DeviceSettings, readings: Mapping[str, Reading]) -> list[Value]:
    """Return what the published points say that is good and within its range."""
    pairs = ((point, readings[point.id]) for point in model.points if point.publish and point.id in readings)
    return [
        reading.value
        for point, reading in pairs
        if reading.quality is Quality.GOOD and reading.value is not None and _is_plausible(reading.value, point)
    ]


def _is_plausible(value: Value, point: PointSettings) -> bool:
    if point.type is not ValueType.NUMBER or point.range is None or isinstance(value, str):
        return True
    return point.range.low <= value <= point.range.high


def published_count(model: DeviceSettings) -> int:
    """Return how many points a model publishes."""
    return sum(point.publish for point in model.points)


def best_first(fits: Iterable[Fit]) -> list[Fit]:
    """Sort: most evidence, then fewest points without; the name breaks ties."""
    return sorted(fits, key=lambda fit: (-fit.evidence, -fit.bonus, fit.points, fit.profile))


def guessed(fit: Fit, fits: Sequence[Fit]) -> str:
    """Say how sure a guess is, and which other profiles fit: the comment above a device in a first site file."""
    others = [other.profile for other in fits if other is not fit][:ALTERNATIVES_MAX]
    also = f" Also possible: {', '.join(others)}." if others else ""
    return f"guessed: {fit.evidence} of {fit.points} points give plausible values.{also}"
