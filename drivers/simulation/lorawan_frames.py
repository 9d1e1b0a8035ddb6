"""The uplinks of simulated LoRaWAN sensors: the inverse of decoders/milesight.py and sensecap.py. Pure."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drivers.decoders.values import Raw, number_of


@dataclass(frozen=True, slots=True)
class _Record:
    """Where a field stands: channel, type, how its number lies, by what it is multiplied, and what says "none"."""

    channel: int
    kind: int
    form: str
    factor: int = 1
    # None = a sensor without a value leaves the record out.
    missing: int | None = 0xFFFF


_BATTERY = _Record(0x01, 0x75, "B", missing=0xFF)
_TEMPERATURE = _Record(0x03, 0x67, "h", 10, missing=-1)
_HUMIDITY = _Record(0x04, 0x68, "B", 2, missing=0xFF)
_MILESIGHT: Mapping[str, Mapping[str, _Record]] = {
    "em300-th": {"temperature": _TEMPERATURE, "humidity": _HUMIDITY},
    "em300-mcs": {"temperature": _TEMPERATURE, "humidity": _HUMIDITY, "magnet": _Record(0x06, 0x00, "B", missing=None)},
    "em500-co2": {
        "temperature": _TEMPERATURE,
        "humidity": _HUMIDITY,
        "co2": _Record(0x05, 0x7D, "H"),
        "pressure": _Record(0x06, 0x73, "H", 10),
    },
    "em500-lgt": {"illumination": _Record(0x03, 0x94, "I", missing=0xFFFF_FFFF)},
    "em500-pp": {"pressure": _Record(0x03, 0x7B, "H")},
    "em500-pt100": {"temperature": _TEMPERATURE},
    "em500-smtc": {
        "temperature": _TEMPERATURE,
        "moisture": _Record(0x04, 0xCA, "H", 100),
        "ec": _Record(0x05, 0x7F, "H"),
    },
    "em500-swl": {"depth": _Record(0x03, 0x77, "H")},
    "em500-udl": {"distance": _Record(0x03, 0x82, "H")},
    "uc511": {
        "valve_1": _Record(0x03, 0x01, "B", missing=0xFF),
        "valve_2": _Record(0x05, 0x01, "B", missing=0xFF),
        "valve_1_pulse": _Record(0x04, 0xC8, "I", missing=None),
        "valve_2_pulse": _Record(0x06, 0xC8, "I", missing=None),
        "pressure": _Record(0x09, 0x7B, "H"),
    },
}
SERVED_MODELS = frozenset(_MILESIGHT)

_SENSECAP_GROUP = struct.Struct("<BHi")
_SENSECAP_BATTERY_ID = 0x0007
# What stands in the upper half of the battery's group: the interval of uplinks in minutes.
_SENSECAP_INTERVAL = 15
# What it says of itself, whether the probe has something to say or not.
_SENSECAP_VERSION_ID, _SENSECAP_VERSION = 0x0000, 0x0001_0002


def milesight_frame(values: Mapping[str, Raw], model: str) -> bytes:
    """Encode the fields that the model has, each in its channel."""
    records = {**_MILESIGHT[model], "battery": _BATTERY}
    return b"".join(_record(records[name], raw) for name, raw in values.items() if name in records)


def _record(record: _Record, raw: Raw) -> bytes:
    number = int(raw) if isinstance(raw, bool) else number_of(raw)
    low, high = _bounds(record.form)
    value = record.missing if number is None else min(high, max(low, round(number * record.factor)))
    if value is None:
        return b""
    return bytes((record.channel, record.kind)) + struct.pack(f"<{record.form}", value)


def _bounds(form: str) -> tuple[int, int]:
    bits = 8 * struct.calcsize(form)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if form.islower() else (0, 2**bits - 1)


def sensecap_frame(values: Mapping[str, Raw]) -> bytes:
    """Encode fields named by measurement id ("4102"), or by channel and id ("2:4102"); two bytes for the checksum."""
    return b"".join(_sensecap_groups(values)) + b"\0\0"


def _sensecap_groups(values: Mapping[str, Raw]) -> Iterator[bytes]:
    yield _SENSECAP_GROUP.pack(0, _SENSECAP_VERSION_ID, _SENSECAP_VERSION)
    for name, raw in values.items():
        number = number_of(raw)
        channel, _, identifier = name.rpartition(":")
        if number is not None and name == "battery":
            yield _SENSECAP_GROUP.pack(1, _SENSECAP_BATTERY_ID, _SENSECAP_INTERVAL << 16 | round(number))
        elif number is not None and identifier.isdecimal():
            yield _SENSECAP_GROUP.pack(int(channel or 1), int(identifier), round(number * 1000))
