"""NMEA 0183 sentences of wind and weather instruments: `$WIMWV,212.6,R,5.8,N,A*29`. No I/O.

Fields are named by sentence, for every talker (WI, II, YX):

    MWV.angle MWV.speed                 wind against the instrument's own zero mark; also as MWV.R.angle, MWV.T.speed
                                        and so on, by the reference: R relative, T theoretical
    MWD.direction_true MWD.direction_magnetic MWD.speed_knots MWD.speed
    XDR.<type>.<name>                   a transducer: `XDR.C.TempAir`; a nameless one has its number among the nameless
                                        of its type in the sentence, from 0: `XDR.C.0`
    XDR.<name>                          the same in short, where the name is more than a number
    MDA.pressure MDA.air_temperature MDA.water_temperature MDA.relative_humidity MDA.absolute_humidity MDA.dew_point
    MDA.direction_true MDA.direction_magnetic MDA.speed_knots MDA.speed
    MTA.temperature MTW.temperature MHU.relative_humidity MHU.absolute_humidity MHU.dew_point MMB.pressure

A field that the sentence leaves empty has no value. Other sentences (positions, times, proprietary ones) give nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import xor

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line
from drivers.decoders.units import unknown
from edge.domain.reading import Reason

# What stands before the last dollar is a sentence without its end, or noise.
_SENTENCE = re.compile(r".*[$!](?P<body>[^$!*]+)(?:\*(?P<checksum>[^$!]*))?", re.DOTALL)
# Talker and sentence. What starts with P is a maker's own.
_ADDRESS = re.compile(r"[A-OQ-Z][A-Z](?P<sentence>[A-Z]{3})")
_CHECKSUM = re.compile(r"[0-9A-Fa-f]{2}")

_SPEEDS = {"N": "[kn_i]", "M": "m/s", "K": "km/h", "S": "[mi_i]/h"}
_TEMPERATURES = {"C": "Cel", "F": "[degF]", "K": "K"}
# Transducer type -> its unit letters in UCUM; of types that are not here, the profile knows the unit. V is a volume
# and M its cubic metres, but Vaisala's V and R are rain in millimetres, with the same M: there, too, the profile says.
# Vaisala's letters of the heating voltage (N, W, F) tell its state.
_TRANSDUCER_UNITS: Mapping[str, Mapping[str, str | None]] = {
    "A": {"D": "deg"},
    "C": _TEMPERATURES,
    "H": {"P": "%"},
    "I": {"A": "A"},
    "P": {"B": "bar", "P": "Pa", "H": "hPa", "M": "mm[Hg]", "I": "[in_i'Hg]"},
    "S": _SPEEDS,
    "R": {"M": None, "I": "[in_i]/h"},
    "U": dict.fromkeys("VNWF", "V"),
    "V": {"M": None, "I": "[in_i]"},
    "Z": {"S": "s", "s": "s"},
}

# A value's name, its place among the sentence's fields, its unit in UCUM, and the letter that must stand after it.
_Values = Sequence[tuple[str, int, str, str]]
_HUMIDITIES: _Values = (
    ("relative_humidity", 0, "%", ""),
    ("absolute_humidity", 1, "g/m3", ""),
    ("dew_point", 2, "Cel", "C"),
)
# Sentence -> how many fields it has, and its values.
_SENTENCES: Mapping[str, tuple[int, _Values]] = {
    "MWD": (
        8,
        (
            ("direction_true", 0, "deg", "T"),
            ("direction_magnetic", 2, "deg", "M"),
            ("speed_knots", 4, "[kn_i]", "N"),
            ("speed", 6, "m/s", "M"),
        ),
    ),
    "MDA": (
        20,
        (
            ("pressure", 2, "bar", "B"),
            ("air_temperature", 4, "Cel", "C"),
            ("water_temperature", 6, "Cel", "C"),
            ("relative_humidity", 8, "%", ""),
            ("absolute_humidity", 9, "g/m3", ""),
            ("dew_point", 10, "Cel", "C"),
            ("direction_true", 12, "deg", "T"),
            ("direction_magnetic", 14, "deg", "M"),
            ("speed_knots", 16, "[kn_i]", "N"),
            ("speed", 18, "m/s", "M"),
        ),
    ),
    "MTA": (2, (("temperature", 0, "Cel", "C"),)),
    "MTW": (2, (("temperature", 0, "Cel", "C"),)),
    "MHU": (4, _HUMIDITIES),
    "MMB": (4, (("pressure", 2, "bar", "B"),)),
}


def checksum(body: bytes) -> int:
    """Return the checksum of what stands between `$` and `*`: all its bytes, exclusive-or."""
    return reduce(xor, body, 0)


class NmeaDecoder(LineFrames):
    """Reads sentences; a checksum must be right where there is one (some instruments send none)."""

    def __init__(self) -> None:
        super().__init__(terminator="\n")

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the fields of one sentence; none if it is not about wind or weather. Raises FrameMalformed."""
        line = text_of_line(frame)
        match = _SENTENCE.fullmatch(line) if line.isascii() else None
        if match is None:
            raise FrameMalformed(f"{excerpt(line)} is no NMEA sentence, like $WIMWV,212.6,R,5.8,N,A*29")
        body: str = match["body"]
        _check(body, match["checksum"])
        address, *parts = (part.strip() for part in body.split(","))
        known = _ADDRESS.fullmatch(address)
        sentence = known["sentence"] if known else ""
        if sentence == "MWV":
            return _wind(body, parts)
        if sentence == "XDR":
            return dict(_transducers(body, parts, is_checked=match["checksum"] is not None))
        if sentence in _SENTENCES:
            return {f"{sentence}.{name}": field for name, field in _values(body, parts, *_SENTENCES[sentence])}
        return {}


def _check(body: str, said: str | None) -> None:
    if said is None:
        return
    right = f"{checksum(body.encode()):02X}"
    if not _CHECKSUM.fullmatch(said) or said.upper() != right:
        raise FrameMalformed(f"{excerpt(body)} has the wrong checksum: it says {said!r}, its characters give {right}")


def _wind(body: str, parts: Sequence[str]) -> dict[str, Field]:
    """MWV: angle, reference, speed, unit of the speed, status (A valid, V void)."""
    if len(parts) != 5 or parts[1] not in {"R", "T"} or parts[4] not in {"A", "V"}:
        raise FrameMalformed(f"{excerpt(body)} is no whole MWV: angle, R or T, speed, unit, A or V")
    angle, reference, speed, letter, status = parts
    reason = None if status == "A" else Reason.SENSOR_FAULT
    values = {
        "angle": Field(angle or None, unit="deg", reason=reason),
        # A speed always names its unit: without, it is none of the profile's.
        "speed": Field(speed or None, unit=_SPEEDS.get(letter, unknown(letter)), reason=reason),
    }
    return {f"MWV.{form}{name}": field for name, field in values.items() for form in ("", f"{reference}.")}


def _transducers(body: str, parts: Sequence[str], *, is_checked: bool) -> Iterator[tuple[str, Field]]:
    """XDR: groups of type, value, unit and name. Only the checksum shows that the end of the last name is lost."""
    # LCJ's sensors write one comma too many at the end.
    if len(parts) % 4 == 1 and not parts[-1]:
        parts = parts[:-1]
    if not parts or len(parts) % 4:
        raise FrameMalformed(f"{excerpt(body)} is no whole XDR: type, value, unit and name of each transducer")
    if not is_checked and (not parts[-1] or parts[-1].isdecimal()):
        raise FrameMalformed(f"{excerpt(body)} may have lost its end: no checksum, and no name of the last transducer")
    nameless: dict[str, int] = {}
    for start in range(0, len(parts), 4):
        kind, value, letter, name = parts[start : start + 4]
        field = Field(value or None, unit=_unit(_TRANSDUCER_UNITS.get(kind, {}), letter))
        if not name:
            name = str(nameless.get(kind, 0))
            nameless[kind] = int(name) + 1
        yield f"XDR.{kind}.{name}", field
        if not name.isdecimal():
            yield f"XDR.{name}", field


def _values(body: str, parts: Sequence[str], count: int, values: _Values) -> Iterator[tuple[str, Field]]:
    """Read a sentence whose values have their fixed places and units."""
    if len(parts) != count:
        raise FrameMalformed(f"{excerpt(body)} is not whole: {len(parts)} fields after the name, {count} belong there")
    for name, place, unit, letter in values:
        value = parts[place]
        if value and letter and parts[place + 1] != letter:
            raise FrameMalformed(
                f"{excerpt(body)}: after {value} there is {parts[place + 1]!r} where {letter!r} belongs"
            )
        yield name, Field(value or None, unit=unit)


def _unit(letters: Mapping[str, str | None], letter: str) -> str | None:
    """Return the unit of a letter; None leaves it to the profile."""
    if not letter or not letters:
        return None
    return letters.get(letter, unknown(letter))
