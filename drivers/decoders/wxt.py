"""Vaisala WXT weather transmitters in ASCII mode: `0R1,Dn=236D,...,Sx=2.2M` (M210906EN, M211840EN). No I/O.

Each value has a key of two letters and a letter for its unit, which is set at the instrument; `#` in its place says
that the value is invalid. The lines have no checksum: one that is not whole in every part is refused as a whole.
"""

import re
from collections.abc import Mapping

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line
from drivers.decoders.units import unknown
from edge.domain.reading import Reason

# Address, R, and which message: 0 all, 1 wind, 2 pressure, temperature and humidity, 3 rain, 5 supervisor.
_HEAD = re.compile(r"[0-9A-Za-z]R[0-9]?")
# What it says besides: a text message, its settings, its bare address.
_MESSAGE = re.compile(r"[0-9A-Za-z]?TX,(?P<text>.+)|[0-9A-Za-z](?:[XWTRS]U(?:,.*)?)?")
_NUMBER = re.compile(r"(?P<key>[A-Z][a-z])=(?P<number>[+-]?[0-9]+(?:\.[0-9]+)?)(?P<unit>[A-Za-z#])")
_TEXT = re.compile(r"(?P<key>Id)=(?P<text>[^=,]*)")

_INVALID = "#"

_DEGREES = {"D": "deg"}
_WIND_SPEEDS = {"M": "m/s", "K": "km/h", "S": "[mi_i]/h", "N": "[kn_i]"}
_TEMPERATURES = {"C": "Cel", "F": "[degF]"}
_AMOUNTS = {"M": "mm", "I": "[in_i]"}
_RATES = {"M": "mm/h", "I": "[in_i]/h"}
_HITS = {"H": "1"}
_HITS_PER_HOUR = {"H": "/h"}
_DURATIONS = {"S": "s", "s": "s"}
# The heating's letter tells its state; the number is always volts.
_VOLTAGES = dict.fromkeys("VNWF", "V")

# Key -> its unit letters in UCUM. Of hail by area there is no unit that a quantity has.
_UNITS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("Dn", "Dm", "Dx"), _DEGREES),
    **dict.fromkeys(("Sn", "Sm", "Sx"), _WIND_SPEEDS),
    **dict.fromkeys(("Ta", "Tp", "Th"), _TEMPERATURES),
    **dict.fromkeys(("Ri", "Rp"), _RATES),
    **dict.fromkeys(("Hi", "Hp"), _HITS_PER_HOUR),
    **dict.fromkeys(("Rd", "Hd"), _DURATIONS),
    **dict.fromkeys(("Vh", "Vs", "Vr"), _VOLTAGES),
    "Ua": {"P": "%"},
    "Pa": {"H": "hPa", "P": "Pa", "B": "bar", "M": "mm[Hg]", "I": "[in_i'Hg]"},
    "Rc": _AMOUNTS,
    "Hc": _HITS,
}


class WxtDecoder(LineFrames):
    """Fields by the instrument's keys: Dn, Dm, Dx, Sn, Sm, Sx, Ta, Ua, Pa, Rc, Rd, Ri, Vs, Id and so on."""

    def __init__(self) -> None:
        super().__init__(terminator="\n")

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the fields of one line; none for its settings and announcements. Raises FrameMalformed."""
        line = text_of_line(frame)
        head, *parts = line.split(",")
        if _HEAD.fullmatch(head) and parts:
            return dict(_field(part) for part in parts)
        message = _MESSAGE.fullmatch(line)
        if message is None:
            raise FrameMalformed(f"{excerpt(line)} is no line of a WXT, like 0R2,Ta=21.4C,Ua=55.0P,Pa=1013.2H")
        text: str | None = message["text"]
        if text is not None and text.lower().endswith("error"):
            raise FrameMalformed(f"the WXT does not take the question: {text}")
        return {}


def _field(part: str) -> tuple[str, Field]:
    if match := _TEXT.fullmatch(part):
        return match["key"], Field(match["text"])
    match = _NUMBER.fullmatch(part)
    if match is None:
        raise FrameMalformed(f"{excerpt(part)} is no value of a WXT: two letters, =, a number, a letter for the unit")
    key, letter = match["key"], match["unit"]
    if letter == _INVALID:
        return key, Field(None, reason=Reason.SENSOR_FAULT)
    letters = _UNITS.get(key)
    # Of a key that we do not know, the profile has to know the unit.
    unit = None if letters is None else letters.get(letter, unknown(letter))
    return key, Field(match["number"], unit=unit)
