"""Weighing scales that speak continuously, a line per weighing: `ST,GS,+00045.0kg` (CAS and others). No I/O."""

import re
from collections.abc import Mapping

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line
from drivers.decoders.units import WRITTEN_UNITS, unknown
from edge.domain.reading import Reason

# Stable, unstable, overload; gross or net; sign, number and unit with or without spaces between them.
_LINE = re.compile(
    r"(?P<state>ST|US|OL) *, *(?P<kind>GS|NT)"
    r"(?: *, *(?P<weight>[+-]? *(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))(?: *,? *(?P<unit>[A-Za-z]+))?)?"
)
_OVERLOAD = re.compile(r"OL\b.*")

# A scale that names no unit sends all its digits (`+000000`); what is shorter is the beginning of a torn line.
_UNNAMED_LENGTH_MIN = 6


class ScaleDecoder(LineFrames):
    """Fields `weight`, `stable` (yes or no) and `net` (the tare is taken off).

    A scale that names no unit mostly writes no decimal point either: the profile's `scale` tells its decimals.
    An overloaded scale has no weight.
    """

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the fields of one line. Raises FrameMalformed."""
        line = text_of_line(frame)
        match = _LINE.fullmatch(line)
        if match is None and _OVERLOAD.fullmatch(line):
            return _overload()
        if match is None:
            raise FrameMalformed(f"{excerpt(line)} is no line of a scale: ST, US or OL, then GS or NT, then the weight")
        if match["state"] == "OL":
            return {**_overload(), "net": Field(match["kind"] == "NT")}
        return {
            "weight": _weight(line, match),
            "stable": Field(match["state"] == "ST"),
            "net": Field(match["kind"] == "NT"),
        }


def _overload() -> dict[str, Field]:
    return {"weight": Field(None, reason=Reason.SENSOR_FAULT), "stable": Field(False)}


def _weight(line: str, match: re.Match[str]) -> Field:
    weight, unit = match["weight"], match["unit"]
    if weight is None:
        raise FrameMalformed(f"{excerpt(line)} holds no weight")
    if unit is None:
        digits = weight.lstrip("+- ")
        if len(digits) < _UNNAMED_LENGTH_MIN:
            raise FrameMalformed(f"{excerpt(line)} is torn: no unit, and only {len(digits)} digits of the weight")
        return Field(weight)
    return Field(weight, unit=WRITTEN_UNITS.get(unit.lower(), unknown(unit)))
