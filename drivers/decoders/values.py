"""From what a text or payload says to a reading: numbers as text, maps, texts for yes and no, units. No I/O."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge.domain.settings import ValueType

ValueKind: TypeAlias = Literal["number", "boolean", "text"]

_TYPES: Mapping[ValueKind, ValueType] = {
    "number": ValueType.NUMBER,
    "boolean": ValueType.BOOLEAN,
    "text": ValueType.TEXT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueOptions:
    """How a raw value becomes a point's value: raw * scale + raw_offset (or the polynomial), in the profile's unit."""

    type: ValueKind = "number"
    scale: float = 1.0
    # `offset` in a profile. (`offset` in a site file is the correction in the canonical unit.)
    raw_offset: float = 0.0
    # Instead of scale and offset: the coefficients from the constant upwards.
    polynomial: tuple[float, ...] = ()
    # What each raw value means, written as text ("ON", "3"): applied before anything else; a raw value that is not
    # listed is a sensor fault. Empty = no map.
    map: Mapping[str, float | bool | str] = field(default_factory=dict)
    # Raw values with which the device says that it has none, as numbers or as they are written.
    invalid_raw: tuple[float | str, ...] = ()

    @property
    def value_type(self) -> ValueType:
        """Return the type of the point's values in events."""
        return _TYPES[self.type]

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._value_mistakes())

    def _value_mistakes(self) -> Iterator[str]:
        if self.scale == 0 or not math.isfinite(self.scale):
            yield f"scale is {self.scale}; it must be a number other than 0"
        if self.polynomial and (self.scale != 1 or self.raw_offset != 0):
            yield "polynomial stands instead of scale and offset; leave these out"
        if self.polynomial and not any(self.polynomial[1:]):
            yield "polynomial gives the same value for everything"
        if self.type != "number" and (self.polynomial or self.scale != 1 or self.raw_offset != 0):
            yield f'type "{self.type}" is not calculated with: leave out scale, offset and polynomial'
        wanted = {"number": (float, int), "boolean": (bool,), "text": (str,)}[self.type]
        for raw, value in self.map.items():
            if not isinstance(value, wanted) or (self.type == "number" and isinstance(value, bool)):
                yield f'map gives {value!r} for "{raw}"; type "{self.type}" needs another kind of value'
