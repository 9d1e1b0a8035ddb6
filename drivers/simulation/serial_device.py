"""One simulated instrument on a serial line: what its frames must hold, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.decoders.values import Raw
from drivers.simulation.faults import Fault
from drivers.simulation.raw_values import invalid_value, raw_value
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import Shown
from edge.domain.reading import Value
from edge.domain.settings import PointSettings

# Decoders whose frames cannot say that there is no value, unless the profile has a number for it.
_ALWAYS_NUMBERS = frozenset({"sdi12", "mhz19", "plantower"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialDevice:
    """An instrument as the site file and profile describe it; names as there."""

    device: SimulatedDevice
    decoder: str
    # Point id -> the decoder's name of its field.
    fields: Mapping[str, str]
    ask: str = ""
    address: str = ""
    terminator: str = "\n"
    layout: str = "csv"
    separator: str = ","
    pattern: str = ""
    command: str = "M"
    # Point id -> point; made from `device`.
    points: Mapping[str, PointSettings] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", {point.id: point for point in self.device.points})

    def field_values(self, shown: Shown) -> dict[str, Raw]:
        """Return each field as the instrument would say it, in the profile's unit; None = it has none."""
        return {self.fields[point.id]: self.raw(point, shown) for point in self.device.points}

    def raw(self, point: PointSettings, shown: Shown, unit: str | None = None) -> Raw:
        """Return one point as the instrument would say it, in the unit that its frame names."""
        if shown.fault is Fault.NOT_A_NUMBER:
            invalid = invalid_value(point)
            if invalid is not None or self.decoder not in _ALWAYS_NUMBERS:
                return invalid
        return raw_value(point, shown.values[point.id], unit=unit)

    def by_field(self, shown: Shown) -> dict[str, tuple[PointSettings, Value]]:
        """Return the points, and their canonical values, by the names of their fields."""
        return {self.fields[point.id]: (point, shown.values[point.id]) for point in self.device.points}
