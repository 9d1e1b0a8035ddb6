"""The frames of simulated instruments: scales, weather transmitters, CO2 and particle sensors, nodes. Pure.

Each is the inverse of the decoder of the same name.
"""

import json
import re
import struct
from collections.abc import Callable, Mapping

from drivers.decoders.mhz19 import checksum as mhz19_checksum
from drivers.decoders.plantower import checksum as plantower_checksum
from drivers.decoders.values import Raw, ValueOptions
from drivers.simulation.faults import Fault
from drivers.simulation.nmea_sentences import sentences
from drivers.simulation.raw_values import raw_value, written
from drivers.simulation.serial_device import SerialDevice
from drivers.simulation.site import Shown

# What a node says in place of a number that it does not have.
NO_NUMBER = "nan"

# WXT: the first letter or two of a key -> the unit in UCUM and its letter; then those after a change of its setting.
_WXT_UNITS: Mapping[str, tuple[str, str]] = {
    "D": ("deg", "D"),
    "S": ("m/s", "M"),
    "T": ("Cel", "C"),
    "U": ("%", "P"),
    "P": ("hPa", "H"),
    "Rc": ("mm", "M"),
    "Ri": ("mm/h", "M"),
    "Rp": ("mm/h", "M"),
    "Hc": ("1", "H"),
    "Hi": ("/h", "H"),
    "Hp": ("/h", "H"),
    "Rd": ("s", "S"),
    "Hd": ("s", "S"),
    "V": ("V", "V"),
}
_WXT_OTHER_UNITS: Mapping[str, tuple[str, str]] = {"P": ("bar", "B"), "S": ("km/h", "K"), "T": ("[degF]", "F")}

# In the order in which a PMSx003 sends them.
_PLANTOWER_NAMES = (
    *("pm1_0_cf1", "pm2_5_cf1", "pm10_cf1"),
    *("pm1_0_atm", "pm2_5_atm", "pm10_atm"),
    *("n0_3um", "n0_5um", "n1_0um", "n2_5um", "n5_0um", "n10um"),
)


def frame(device: SerialDevice, shown: Shown) -> bytes:
    """Return what an instrument says of this moment."""
    return _ENCODERS[device.decoder](device, shown)


def can_frame(device: SerialDevice) -> bool:
    """Whether we can speak for an instrument: its decoder is known, and a pattern is plain enough to be written."""
    if device.decoder == "lines" and device.layout == "regex":
        names = re.compile(device.pattern).groupindex
        return _from_pattern(device.pattern, dict.fromkeys(names, 1)) is not None
    return device.decoder in _ENCODERS


def _scale(device: SerialDevice, shown: Shown) -> bytes:
    """Say `ST,GS,+0003.065kg`; a scale whose profile knows the decimals sends digits only."""
    if shown.fault is Fault.NOT_A_NUMBER:
        return b"OL,GS" + device.terminator.encode()
    point, value = device.by_field(shown).get("weight", (None, 0.0))
    if point is None:
        weight = "+0000.000kg"
    else:
        assert isinstance(point.options, ValueOptions)
        is_plain = point.options.scale == 1 and point.unit is not None
        unit = "g" if shown.fault is Fault.OTHER_UNIT else "kg"
        raw = float(raw_value(point, value, unit=unit if is_plain else None))
        weight = f"{raw:+09.3f}{unit}" if is_plain else f"{raw:+07.0f}"
    return f"ST,GS,{weight}".encode() + device.terminator.encode()


def _wxt(device: SerialDevice, shown: Shown) -> bytes:
    parts = [f"{device.address or '0'}R0"]
    for point in device.device.points:
        key = device.fields[point.id]
        if key == "Id":
            parts.append(f"Id={shown.values[point.id]}")
            continue
        usual = _WXT_UNITS.get(key) or _WXT_UNITS.get(key[0], ("", "V"))
        code, letter = _WXT_OTHER_UNITS.get(key[0], usual) if shown.fault is Fault.OTHER_UNIT else usual
        raw = raw_value(point, shown.values[point.id], unit=code)
        parts.append(f"{key}={written(raw)}{'#' if shown.fault is Fault.NOT_A_NUMBER else letter}")
    return (",".join(parts) + "\r\n").encode()


def _mhz19(device: SerialDevice, shown: Shown) -> bytes:
    co2 = _counted(device.field_values(shown).get("co2"))
    body = b"\xff\x86" + co2.to_bytes(2, "big") + b"\x40\0\0\0"
    return body + bytes((mhz19_checksum(body),))


def _plantower(device: SerialDevice, shown: Shown) -> bytes:
    values = device.field_values(shown)
    numbers = [_counted(values.get(name, 0)) for name in _PLANTOWER_NAMES]
    body = b"BM" + struct.pack(">H12HH", 28, *numbers, 0)
    return body + plantower_checksum(body + b"\0\0").to_bytes(2, "big")


def _counted(raw: Raw) -> int:
    number = 0 if raw is None or isinstance(raw, str) else round(raw)
    return min(0xFFFF, max(0, number))


def _line(device: SerialDevice, shown: Shown) -> bytes:
    text = _LAYOUTS[device.layout](device, device.field_values(shown))
    return text.encode() + device.terminator.encode()


def _csv(device: SerialDevice, values: Mapping[str, Raw]) -> str:
    width = 1 + max((int(name) for name in values if name.isdecimal()), default=0)
    return device.separator.join(_word(values.get(str(number), 0)) for number in range(width))


def _key_value(_device: SerialDevice, values: Mapping[str, Raw]) -> str:
    return " ".join(f"{name}={_word(raw)}" for name, raw in values.items())


def _json(_device: SerialDevice, values: Mapping[str, Raw]) -> str:
    document: dict[str, object] = {}
    for name, raw in values.items():
        *outer, last = name.split(".")
        table = document
        for key in outer:
            inner = table.setdefault(key, {})
            assert isinstance(inner, dict)
            table = inner
        table[last] = raw
    return json.dumps(document)


def _regex(device: SerialDevice, values: Mapping[str, Raw]) -> str:
    return _from_pattern(device.pattern, values) or ""


def _from_pattern(pattern: str, values: Mapping[str, Raw]) -> str | None:
    """Write a line that fits a pattern; None for one that is more than words, blanks and named groups."""
    text = re.sub(r"\(\?P<(\w+)>[^()]*\)", lambda match: _word(values.get(match[1], 0)), pattern)
    text = re.sub(r"\\s[+*]?", " ", text)
    text = re.sub(r"\\(\W)", r"\1", text).removeprefix("^").removesuffix("$")
    # A whole number is wanted where a decimal point does not fit.
    for candidate in (text, re.sub(r"(-?\d+)\.\d+", r"\1", text)):
        if re.fullmatch(pattern, candidate):
            return candidate
    return None


def _word(raw: Raw) -> str:
    return NO_NUMBER if raw is None else written(raw)


_LAYOUTS: Mapping[str, Callable[[SerialDevice, Mapping[str, Raw]], str]] = {
    "csv": _csv,
    "key_value": _key_value,
    "json": _json,
    "regex": _regex,
}
_ENCODERS: Mapping[str, Callable[[SerialDevice, Shown], bytes]] = {
    "nmea": sentences,
    "scale": _scale,
    "wxt": _wxt,
    "mhz19": _mhz19,
    "plantower": _plantower,
    "lines": _line,
}
