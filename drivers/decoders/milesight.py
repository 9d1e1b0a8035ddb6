"""Milesight's uplinks: channel, type, and little-endian data, one record after the other. No I/O.

A record does not say how long it is: only the model's table does. What the table does not know ends the understanding,
and the whole payload is refused rather than half of it guessed. Sources: Milesight-IoT/SensorDecoders, the README and
decoder of each model; values are in the units written there (Cel, %, uS/cm, [ppm], hPa, lx, mm, cm, kPa, V or mA).
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.decoders.payload import JsonValue, PayloadMalformed

MilesightModel: TypeAlias = Literal[
    "em300-th",
    "em300-mcs",
    "em500-co2",
    "em500-lgt",
    "em500-pp",
    "em500-pt100",
    "em500-smtc",
    "em500-swl",
    "em500-udl",
    "uc501",
    "uc511",
]
Fields: TypeAlias = Mapping[str, JsonValue]
_Channel: TypeAlias = tuple[int, int]

_HISTORY_TYPE = 0xCE
_TIMESTAMP_LENGTH = 4


@dataclass(frozen=True, slots=True)
class MilesightRecord:
    """What was measured at one moment. None is said by a sensor that failed."""

    fields: Fields
    # Seconds since 1970 where the device stored the values and sends them later; None = just now.
    stored_at_s: int | None = None
    # The stored record's own bytes: the device may send the same one again, in another uplink.
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the data of one channel and type lies."""

    size: int
    fields: Callable[[bytes], Fields]
    # The place of a byte whose upper five bits say how many bytes follow `size`; None = none do.
    more_at: int | None = None

    def length(self, rest: bytes) -> int:
        """Return how many bytes the record has, as far as `rest` shows."""
        more = 0 if self.more_at is None or len(rest) <= self.more_at else rest[self.more_at] >> 3
        return self.size + more


@dataclass(frozen=True, slots=True)
class _Number:
    """One number within a record. A raw value of `missing` is what the device says where it could not read."""

    name: str
    form: str
    divisor: int = 1
    missing: tuple[int, ...] = ()

    def value(self, raw: float) -> JsonValue:
        if raw in self.missing:
            return None
        return raw if self.divisor == 1 else raw / self.divisor


def _numbers(*numbers: _Number, reserved: int = 0) -> _Layout:
    """Lay numbers side by side, then bytes without a meaning."""
    form = struct.Struct("<" + "".join(number.form for number in numbers) + f"{reserved}x")

    def fields(data: bytes) -> Fields:
        raws = form.unpack(data)
        return {number.name: number.value(raw) for number, raw in zip(numbers, raws, strict=True)}

    return _Layout(form.size, fields)


def _silent(size: int) -> _Layout:
    """Lay bytes that say nothing of what was measured: versions, and replies to settings."""
    return _Layout(size, lambda _data: {})


def _adc(name: str, form: str, divisor: int) -> _Layout:
    """Lay an analogue input's present value, then its lowest, highest and mean since the last uplink."""
    return _numbers(_Number(name, form, divisor), reserved=6)


def _valve(name: str) -> _Layout:
    # 0xFF: the result of a delayed command, not a state.
    return _Layout(1, lambda data: {} if data[0] == 0xFF else {name: data[0] & 1})


def _valve_history(data: bytes) -> Fields:
    """Read a UC511's stored valve state: bit 0 open, bit 1 counts pulses, bit 2 input, bit 4 the second valve."""
    status, pulses = struct.unpack("<BI", data)
    valve = 2 if status & 0x10 else 1
    state: dict[str, JsonValue] = {f"valve_{valve}": status & 1}
    if status & 0x02:
        state[f"valve_{valve}_pulse"] = pulses
    else:
        state[f"gpio_{valve}"] = status >> 2 & 1
    return state


# 0xFFFF as int16 would be -0.1 degrees: a failed sensor is the likelier (and the worse mistake).
_TEMPERATURE = _Number("temperature", "h", 10, missing=(-1,))
_SOIL_TEMPERATURE = _Number("temperature", "h", 10, missing=(-1, -3))
_HUMIDITY = _Number("humidity", "B", 2, missing=(0xFF,))
_MOISTURE = _Number("moisture", "H", 100, missing=(0xFFFF, 0xFFFD))
# In uS/cm, as the value 240 of the maker's first example; later READMEs call the same bytes 2.4 mS/cm.
_EC = _Number("ec", "H", missing=(0xFFFF, 0xFFFD))
_CO2 = _Number("co2", "H", missing=(0xFFFF,))
_AIR_PRESSURE = _Number("pressure", "H", 10, missing=(0xFFFF,))
_ILLUMINATION = _Number("illumination", "I", missing=(0xFFFF_FFFF,))
_DISTANCE = _Number("distance", "H", missing=(0xFFFF,))
_DEPTH = _Number("depth", "H", missing=(0xFFFF,))
_PIPE_PRESSURE = _Number("pressure", "H", missing=(0xFFFF,))
_MAGNET = _Number("magnet", "B")

# What any model sends of itself and in reply to settings.
_EVERY: Mapping[_Channel, _Layout] = {
    (0x01, 0x75): _numbers(_Number("battery", "B", missing=(0xFF,))),
    **{(0xFF, kind): _silent(1) for kind in (0x01, 0x0B, 0x0F, 0xFE)},
    **{(0xFF, kind): _silent(2) for kind in (0x09, 0x0A, 0xFF)},
    (0xFF, 0x16): _silent(8),
    **{
        (channel, kind): _silent(size)
        for channel in (0xFE, 0xFF)
        for size, kinds in {
            1: (0x10, 0x27, 0x28, 0x3B, 0x4A, 0x68, 0x69, 0x6D, 0x84, 0xF5),
            2: (0x02, 0x03, 0x17, 0x18, 0x1C, 0xF2),
            3: (0x6A, 0xEA),
            4: (0x11, 0xF1),
            6: (0x79,),
            8: (0x35, 0x96),
            9: (0x06,),
        }.items()
        for kind in kinds
    },
}
# The value, its jump, and which alarm it is.
_TEMPERATURE_ALARM: Mapping[_Channel, _Layout] = {(0x83, 0xD7): _numbers(_TEMPERATURE, reserved=3)}

_TABLES: Mapping[MilesightModel, Mapping[_Channel, _Layout]] = {
    "em300-th": {
        (0x03, 0x67): _numbers(_TEMPERATURE),
        (0x04, 0x68): _numbers(_HUMIDITY),
        (0x20, 0xCE): _numbers(_TEMPERATURE, _HUMIDITY, reserved=1),
    },
    "em300-mcs": {
        (0x03, 0x67): _numbers(_TEMPERATURE),
        (0x04, 0x68): _numbers(_HUMIDITY),
        (0x06, 0x00): _numbers(_MAGNET),
        (0x20, 0xCE): _numbers(_TEMPERATURE, _HUMIDITY, _MAGNET),
    },
    "em500-co2": {
        (0x03, 0x67): _numbers(_TEMPERATURE),
        (0x04, 0x68): _numbers(_HUMIDITY),
        (0x05, 0x7D): _numbers(_CO2),
        (0x06, 0x73): _numbers(_AIR_PRESSURE),
        (0x20, 0xCE): _numbers(_CO2, _AIR_PRESSURE, _TEMPERATURE, _HUMIDITY),
        **_TEMPERATURE_ALARM,
    },
    "em500-lgt": {(0x03, 0x94): _numbers(_ILLUMINATION), (0x20, 0xCE): _numbers(_ILLUMINATION)},
    "em500-pp": {(0x03, 0x7B): _numbers(_PIPE_PRESSURE), (0x20, 0xCE): _numbers(_PIPE_PRESSURE)},
    "em500-pt100": {
        (0x03, 0x67): _numbers(_TEMPERATURE),
        (0x20, 0xCE): _numbers(_TEMPERATURE),
        **_TEMPERATURE_ALARM,
    },
    "em500-smtc": {
        (0x03, 0x67): _numbers(_SOIL_TEMPERATURE),
        # Older firmware in half per cents, newer in hundredths.
        (0x04, 0x68): _numbers(_Number("moisture", "B", 2, missing=(0xFF,))),
        (0x04, 0xCA): _numbers(_MOISTURE),
        (0x05, 0x7F): _numbers(_EC),
        (0x20, 0xCE): _numbers(_EC, _SOIL_TEMPERATURE, _MOISTURE),
        **_TEMPERATURE_ALARM,
    },
    "em500-swl": {(0x03, 0x77): _numbers(_DEPTH), (0x20, 0xCE): _numbers(_DEPTH)},
    "em500-udl": {
        (0x03, 0x82): _numbers(_DISTANCE),
        # The maker's decoder divides this distance by 10 and the others not; it is said again in (03, 82).
        (0x83, 0xE9): _silent(5),
        (0x20, 0xCE): _numbers(_DISTANCE),
    },
    "uc501": {
        **{(0x02 + n, kind): _numbers(_Number(f"gpio_{n}", "B")) for n in (1, 2) for kind in (0x00, 0x01)},
        **{(0x02 + n, 0xC8): _numbers(_Number(f"counter_{n}", "I")) for n in (1, 2)},
        **{(0x04 + n, 0x02): _adc(f"adc_{n}", "h", 1000) for n in (1, 2)},
        **{(0x04 + n, 0xE2): _adc(f"adc_{n}", "e", 1) for n in (1, 2)},
        # What its SDI-12 and RS485 ports read: text and registers of instruments that this table does not know.
        (0x08, 0xDB): _silent(37),
        (0xFF, 0x0E): _Layout(2, lambda _data: {}, more_at=1),
        (0xFF, 0x14): _silent(1),
        (0xFF, 0x15): _silent(1),
    },
    "uc511": {
        **{(0x01 + 2 * n, 0x01): _valve(f"valve_{n}") for n in (1, 2)},
        **{(0x02 + 2 * n, 0xC8): _numbers(_Number(f"valve_{n}_pulse", "I")) for n in (1, 2)},
        **{(0x06 + n, 0x01): _numbers(_Number(f"gpio_{n}", "B")) for n in (1, 2)},
        (0x09, 0x7B): _numbers(_PIPE_PRESSURE),
        (0xB9, 0x7B): _Layout(1, lambda _data: {"pressure": None}),
        (0x0B, 0xF5): _silent(9),
        (0x0E, 0xAF): _silent(3),
        (0x0F, 0xAF): _silent(3),
        (0xFF, 0x12): _silent(8),
        (0xFE, 0x55): _silent(28),
        (0x20, 0xCE): _Layout(5, _valve_history),
        (0x21, 0xCE): _numbers(_PIPE_PRESSURE),
    },
}
MILESIGHT_MODELS = tuple(_TABLES)


def milesight_records(payload: bytes, model: MilesightModel) -> list[MilesightRecord]:
    """Decode an uplink: what the device measures now, if it says so, then what it had stored.

    Raises PayloadMalformed for a channel that the model does not have, and for a record that is cut off.
    """
    present: dict[str, JsonValue] = {}
    stored: list[MilesightRecord] = []
    for is_stored, layout, data in _records(payload, model):
        if is_stored:
            at_s = int.from_bytes(data[:_TIMESTAMP_LENGTH], "little")
            stored.append(MilesightRecord(layout.fields(data[_TIMESTAMP_LENGTH:]), at_s, data))
        else:
            present.update(layout.fields(data))
    return [MilesightRecord(present), *stored] if present else stored


def _records(payload: bytes, model: MilesightModel) -> Iterator[tuple[bool, _Layout, bytes]]:
    table = _TABLES[model]
    position = 0
    while position < len(payload):
        head = payload[position : position + 2]
        if len(head) < 2:
            raise _cut_off(head, position)
        layout = table.get((head[0], head[1])) or _EVERY.get((head[0], head[1]))
        if layout is None:
            raise PayloadMalformed(
                f"channel {head[0]:02X} type {head[1]:02X} at byte {position + 1} is none of a Milesight {model}"
            )
        is_stored = head[1] == _HISTORY_TYPE
        rest = payload[position + 2 :]
        size = layout.length(rest) + (_TIMESTAMP_LENGTH if is_stored else 0)
        if len(rest) < size:
            raise _cut_off(head, position)
        yield is_stored, layout, rest[:size]
        position += 2 + size


def _cut_off(head: bytes, position: int) -> PayloadMalformed:
    return PayloadMalformed(f"the payload is cut off in channel {head[0]:02X} at byte {position + 1}")
