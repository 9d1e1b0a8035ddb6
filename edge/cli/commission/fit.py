"""How well a profile fits what a device said: what `init` guesses from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.cli.commission.shown import judged
from edge.domain.reading import Quality, Reading, Value
from edge.domain.settings import DeviceSettings


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A profile that fits."""

    profile: str
    # Points whose values speak for it, of how many that it publishes.
    evidence: int
    points: int
    # What else speaks for it, where the evidence is equal: the factory's address, words of a topic.
    bonus: int = 0


def good_values(device: DeviceSettings, readings: Mapping[str, Reading]) -> list[Value]:
    """Return what the published points say that is good and within its range."""
    values = (reading.value for reading in judged(device, readings).values() if reading.quality is Quality.GOOD)
    return [value for value in values if value is not None]


def best_first(fits: Iterable[Fit]) -> list[Fit]:
    """Sort: most evidence, then fewest points without; the name breaks ties."""
    return sorted(fits, key=lambda fit: (-fit.evidence, -fit.bonus, fit.points, fit.profile))


def published_count(device: DeviceSettings) -> int:
    """Return how many points a device publishes."""
    return sum(point.publish for point in device.points)
