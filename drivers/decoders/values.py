"""From a raw value to a reading: numbers as text, maps, words for yes and no, units. No I/O."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from drivers.decoders.decimals import exact, polynomial_value, shown
from edge.domain.quantity import IDENTITY, Conversion, conversion
from edge.domain.reading import BAD_REASONS, Quality, Reading, Reason, Value, bad
from edge.domain.settings import PointSettings, ValueType

ValueKind: TypeAlias = Literal["number", "boolean", "text"]
Raw: TypeAlias = float | int | str | bool | None

_TYPES: Mapping[ValueKind, ValueType] = {
    "number": ValueType.NUMBER,
    "boolean": ValueType.BOOLEAN,
    "text": ValueType.TEXT,
}

# A point's text is a word or a serial number; a longer one is the payload of another device.
TEXT_LENGTH_MAX = 256

# Whole and nothing else; float() alone would take "1_000", "nan", "infinity" and digits of other scripts.
_NUMBER = re.compile(r"([+-]?) *([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

# Every word that devices of the catalogue use for yes and no, compared without regard to case. The list is closed:
# another word (a translation, "unavailable", "ERROR") says neither. A profile's `map` is the way to teach more.
TRUE_WORDS = frozenset({"true", "on", "yes", "1", "open", "online", "connected"})
FALSE_WORDS = frozenset({"false", "off", "no", "0", "closed", "offline", "disconnected"})


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

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all texts that the point can have; empty where the device says what it likes."""
        return tuple(dict.fromkeys(str(value) for value in self.map.values()))

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._value_mistakes())

    def _value_mistakes(self) -> Iterator[str]:
        if self.scale == 0 or not math.isfinite(self.scale):
            yield f"scale is {self.scale}; it must be a number other than 0"
        if not math.isfinite(self.raw_offset):
            yield f"offset is {self.raw_offset}; it must be a number"
        if not all(map(math.isfinite, self.polynomial)):
            yield "polynomial holds what is no number"
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


def number_of(raw: Raw) -> float | None:
    """Return the number that a raw value is or spells ("21.8", "+ 7.16", "022.0"); None if it is none.

    A yes or no is no number, and neither is what is not finite.
    """
    if isinstance(raw, str):
        match = _NUMBER.fullmatch(raw.strip()) if len(raw) <= TEXT_LENGTH_MAX else None
        if match is None:
            return None
        raw = float("".join(part for part in match.groups() if part))
    if raw is None or isinstance(raw, bool):
        return None
    try:
        number = float(raw)
    except OverflowError:  # JSON writes whole numbers of any length
        return None
    return number if math.isfinite(number) else None


def text_of(raw: Raw) -> str:
    """Return a raw value as `map` and `invalid_raw` write it: "3" for 3 and 3.0, "true" for True, a text trimmed."""
    if raw is None:
        return ""
    if isinstance(raw, str):
        return raw.strip()
    if isinstance(raw, bool):
        return "true" if raw else "false"
    number = number_of(raw)
    if number is not None and number.is_integer():
        return str(int(number))
    return repr(raw) if number is not None else ""


def truth_of(raw: Raw) -> bool | None:
    """Return the yes or no that a raw value is or spells; None if it says neither. See TRUE_WORDS and FALSE_WORDS."""
    word = text_of(raw).lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


class ValueCodec:
    """One point's way from raw values to readings, prepared once."""

    def __init__(self, point: PointSettings) -> None:
        assert isinstance(point.options, ValueOptions)
        options = point.options
        self._type = options.type
        self._unit = point.unit
        self._conversion = point.conversion
        self._coefficients = tuple(map(exact, options.polynomial or (options.raw_offset, options.scale)))
        self._is_plain = not options.polynomial and options.scale == 1 and options.raw_offset == 0
        self._map = options.map
        self._invalid_numbers = frozenset(raw for raw in options.invalid_raw if not isinstance(raw, str))
        self._invalid_texts = frozenset(raw.strip() for raw in options.invalid_raw if isinstance(raw, str))

    def converts(self, unit: str) -> bool:
        """Whether a value in this unit (UCUM) can become one of the point's. If not, its readings are bad.

        The frame names the unit. If it is a wrong one, the instrument was set to another quantity, or the profile names
        the wrong field. Worth a log line, once.
        """
        return self._way_from(unit) is not None

    def reading(self, raw: Raw, *, unit: str | None = None, reason: Reason | None = None) -> Reading:
        """Make the reading of a raw value; `unit` (UCUM) as the frame names it stands above the profile's.

        What is no value of the point's type is a sensor fault: text that is no number, a word that is neither yes nor
        no, a value of `invalid_raw` or outside `map`, a unit that is no unit of the quantity. `reason` is what the
        frame says against the value: one of BAD_REASONS leaves no value, another makes it uncertain.
        """
        if reason in BAD_REASONS:
            return bad(reason, self._unit)
        value = self._value(raw, unit)
        if value is None:
            return bad(Reason.SENSOR_FAULT, self._unit)
        quality = Quality.GOOD if reason is None else Quality.UNCERTAIN
        return Reading(value=value, unit=self._unit, quality=quality, reason=reason)

    def _value(self, raw: Raw, unit: str | None) -> Value | None:
        if raw is None or self._is_invalid(raw):
            return None
        if self._map:
            raw = self._mapped(raw)
        if self._type == "text":
            return _usable_text(text_of(raw))
        if self._type == "boolean":
            return truth_of(raw)
        number = number_of(raw)
        way = self._conversion if unit is None else self._way_from(unit)
        return None if number is None or way is None else self._calculated(number, way)

    def _is_invalid(self, raw: Raw) -> bool:
        if self._invalid_texts and text_of(raw) in self._invalid_texts:
            return True
        return bool(self._invalid_numbers) and number_of(raw) in self._invalid_numbers

    def _mapped(self, raw: Raw) -> Raw:
        text = text_of(raw)
        if text in self._map:
            return self._map[text]
        number = number_of(raw)
        # "03" and "3.0" are 3 as well.
        return None if number is None else self._map.get(text_of(number))

    def _way_from(self, unit: str) -> Conversion | None:
        # A point without a unit is a plain number: there is nothing to convert it to.
        return IDENTITY if self._unit is None else conversion(unit, self._unit)

    def _calculated(self, number: float, way: Conversion) -> float | None:
        if self._is_plain and way == IDENTITY:
            return number + 0.0  # zero has no sign
        try:
            value = polynomial_value(self._coefficients, exact(number))
            canonical = shown(value * exact(way.factor) + exact(way.offset))
        except ArithmeticError:  # beyond what even a decimal holds
            return None
        return canonical if math.isfinite(canonical) else None


def _usable_text(text: str) -> str | None:
    """Return a text that an event can hold; None if it is empty, too long, or holds half a character (JSON can)."""
    if not text or len(text) > TEXT_LENGTH_MAX:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text
