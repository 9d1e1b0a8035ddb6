"""The sentences of a simulated wind or weather instrument, NMEA 0183: the inverse of decoders/nmea.py. Pure.

Of the fields that the profile names, whole sentences are made; what it does not name stays empty in them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drivers.decoders.nmea import checksum
from drivers.simulation.faults import Fault
from drivers.simulation.raw_values import written
from drivers.simulation.serial_device import SerialDevice
from drivers.simulation.site import Shown
from edge.domain.settings import PointSettings

TALKER = "WI"


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit in UCUM, and the letter that stands for it."""

    code: str
    letter: str


_METRES, _KILOMETRES = _Unit("m/s", "M"), _Unit("km/h", "K")
# Transducer type -> its unit; then, for an instrument that was set to another one.
_TRANSDUCERS: Mapping[str, _Unit] = {
    "A": _Unit("deg", "D"),
    "C": _Unit("Cel", "C"),
    "H": _Unit("%", "P"),
    "I": _Unit("A", "A"),
    "P": _Unit("hPa", "H"),
    "S": _METRES,
    "U": _Unit("V", "V"),
    # Vaisala's rain.
    "R": _Unit("mm/h", "M"),
    "V": _Unit("mm", "M"),
}
_OTHER_TRANSDUCERS: Mapping[str, _Unit] = {"C": _Unit("[degF]", "F"), "P": _Unit("bar", "B"), "S": _KILOMETRES}
# A transducer that the profile knows by name only: its type, from the unit of what it measures.
_TYPES: Mapping[str | None, str] = {"Cel": "C", "hPa": "P", "%": "H", "deg": "A", "m/s": "S", "V": "U", "mm": "V"}

# Sentence -> its parts in order: a value's name and unit, or a letter that always stands there.
_LAYOUTS: Mapping[str, tuple[tuple[str, str] | str, ...]] = {
    "MWD": (
        *(("direction_true", "deg"), "T", ("direction_magnetic", "deg"), "M"),
        *(("speed_knots", "[kn_i]"), "N", ("speed", "m/s"), "M"),
    ),
    "MDA": (
        *(("pressure_inches", "[in_i'Hg]"), "I", ("pressure", "bar"), "B"),
        *(("air_temperature", "Cel"), "C", ("water_temperature", "Cel"), "C"),
        *(("relative_humidity", "%"), ("absolute_humidity", "g/m3"), ("dew_point", "Cel"), "C"),
        *(("direction_true", "deg"), "T", ("direction_magnetic", "deg"), "M"),
        *(("speed_knots", "[kn_i]"), "N", ("speed", "m/s"), "M"),
    ),
    "MTA": (("temperature", "Cel"), "C"),
    "MTW": (("temperature", "Cel"), "C"),
    "MHU": (("relative_humidity", "%"), ("absolute_humidity", "g/m3"), ("dew_point", "Cel"), "C"),
    "MMB": (("pressure_inches", "[in_i'Hg]"), "I", ("pressure", "bar"), "B"),
}


def sentences(device: SerialDevice, shown: Shown) -> bytes:
    """Return what the instrument says in one go: a sentence for each kind that its fields name."""
    spoken = _Sentences(device, shown)
    kinds = dict.fromkeys(name.partition(".")[0] for name in device.fields.values())
    return b"".join(_framed(body) for kind in kinds for body in spoken.bodies(kind))


def _framed(body: str) -> bytes:
    return f"${body}*{checksum(body.encode()):02X}\r\n".encode()


class _Sentences:
    def __init__(self, device: SerialDevice, shown: Shown) -> None:
        self._device = device
        self._shown = shown
        self._points = {device.fields[point.id]: point for point in device.device.points}

    def bodies(self, kind: str) -> Iterator[str]:
        if kind == "MWV":
            yield self._wind()
        elif kind == "XDR":
            yield self._transducers()
        elif kind in _LAYOUTS:
            parts = (
                part if isinstance(part, str) else self._text(f"{kind}.{part[0]}", part[1]) for part in _LAYOUTS[kind]
            )
            yield ",".join((f"{TALKER}{kind}", *parts))

    def _wind(self) -> str:
        """Say the wind: an instrument that has no value says V, and some value that means nothing."""
        reference = next((name[4] for name in self._points if name[:6] in {"MWV.R.", "MWV.T."}), "R")
        unit = _KILOMETRES if self._shown.fault is Fault.OTHER_UNIT else _METRES
        angle = self._text(f"MWV.{reference}.angle", "deg") or self._text("MWV.angle", "deg")
        speed = self._text(f"MWV.{reference}.speed", unit.code) or self._text("MWV.speed", unit.code)
        status = "V" if self._shown.fault is Fault.NOT_A_NUMBER else "A"
        return f"{TALKER}MWV,{angle},{reference},{speed},{unit.letter},{status}"

    def _transducers(self) -> str:
        groups = [f"{TALKER}XDR"]
        for name, point in self._points.items():
            if name.startswith("XDR."):
                kind, transducer = _transducer(name, point)
                units = _OTHER_TRANSDUCERS if self._shown.fault is Fault.OTHER_UNIT else _TRANSDUCERS
                unit = units.get(kind) or _TRANSDUCERS.get(kind, _Unit("", ""))
                groups.append(f"{kind},{self._text(name, unit.code)},{unit.letter},{transducer}")
        return ",".join(groups)

    def _text(self, name: str, unit: str) -> str:
        point = self._points.get(name)
        raw = None if point is None else self._device.raw(point, self._shown, unit)
        return "" if raw is None else written(raw)


def _transducer(name: str, point: PointSettings) -> tuple[str, str]:
    """Return type and name of a transducer: `XDR.C.TempAir` has both; of `XDR.TempAir` the quantity gives the type."""
    parts = name.split(".", maxsplit=2)
    return (parts[1], parts[2]) if len(parts) == 3 else (_TYPES.get(point.unit, "G"), parts[1])
