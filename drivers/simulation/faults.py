"""Faults of the field as data, at times that the seed decides. Pure.

Each was seen at real devices (facts/devices.md section 4). What a transport cannot show it leaves out: a Modbus
register has no clock, and a message no echo.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

# How late a late answer comes: after most time-outs, before the next poll.
LATE_BY_S = 2.0


class Fault(StrEnum):
    """What a device suffers from for a while."""

    # What it tells: the same value without end, one value far off, none at all, nothing where there is something (a wet
    # probe that says 0 %), everything where there is less (100 % humidity), the right value in another unit than it was
    # set to.
    STUCK = "stuck"
    SPIKE = "spike"
    NOT_A_NUMBER = "not-a-number"
    ZERO = "zero"
    SATURATED = "saturated"
    OTHER_UNIT = "other-unit"
    # Whether and when it tells: not at all for some seconds or for hours, too late, "busy".
    SILENT = "silent"
    OFFLINE = "offline"
    LATE = "late"
    BUSY = "busy"
    # What the line does to it: wrong bits, our own question back before the answer, a greeting after a power dip.
    NOISE = "noise"
    ECHO = "echo"
    BANNER = "banner"
    # What becomes of messages: dated 1970 or 2018, sent twice, kept back and sent later, retained by the broker.
    WRONG_CLOCK = "wrong-clock"
    DUPLICATE = "duplicate"
    HISTORY = "history"
    RETAINED = "retained"


Faults: TypeAlias = tuple[Fault, ...]

_VALUE_FAULTS = (Fault.STUCK, Fault.SPIKE, Fault.NOT_A_NUMBER, Fault.ZERO, Fault.SATURATED)
_TIME_FAULTS = (Fault.SILENT, Fault.OFFLINE)
_LINE_FAULTS = (Fault.LATE, Fault.NOISE, Fault.ECHO, Fault.BANNER)

MODBUS_TCP_FAULTS: Faults = (*_VALUE_FAULTS, *_TIME_FAULTS, Fault.LATE, Fault.BUSY)
MODBUS_RTU_FAULTS: Faults = (*_VALUE_FAULTS, *_TIME_FAULTS, *_LINE_FAULTS, Fault.BUSY)
SERIAL_FAULTS: Faults = (*_VALUE_FAULTS, Fault.OTHER_UNIT, *_TIME_FAULTS, *_LINE_FAULTS)
MQTT_FAULTS: Faults = (
    *_VALUE_FAULTS,
    Fault.OTHER_UNIT,
    *_TIME_FAULTS,
    Fault.WRONG_CLOCK,
    Fault.DUPLICATE,
    Fault.HISTORY,
    Fault.RETAINED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, and how long: at most one fault in each stretch of a device's time, in this share of them."""

    stretch_s: float
    shortest_s: float
    longest_s: float
    share: float


PACE = Pace(stretch_s=300.0, shortest_s=15.0, longest_s=60.0, share=0.5)
OFFLINE_PACE = Pace(stretch_s=6 * 3600.0, shortest_s=3600.0, longest_s=3 * 3600.0, share=0.25)
_PACES: Mapping[Pace, frozenset[Fault]] = {
    OFFLINE_PACE: frozenset({Fault.OFFLINE}),
    PACE: frozenset(Fault) - {Fault.OFFLINE},
}


def fault_at(device_id: str, elapsed_s: float, seed: int, faults: Sequence[Fault]) -> Fault | None:
    """Return which of these faults a device has at this time, if any."""
    for pace, kinds in _PACES.items():
        paced = [fault for fault in faults if fault in kinds]
        fault = _fault_in_stretch(f"{seed}/{device_id}", elapsed_s, pace, paced) if paced else None
        if fault is not None:
            return fault
    return None


def _fault_in_stretch(name: str, elapsed_s: float, pace: Pace, faults: Sequence[Fault]) -> Fault | None:
    stretch = int(elapsed_s // pace.stretch_s)
    chance = random.Random(f"{name}/{pace.stretch_s:g}/{stretch}")  # noqa: S311 - to be repeated, not to be secret
    if chance.random() >= pace.share:
        return None
    fault = chance.choice(faults)
    duration_s = chance.uniform(pace.shortest_s, pace.longest_s)
    start_s = stretch * pace.stretch_s + chance.uniform(0, pace.stretch_s - duration_s)
    return fault if start_s <= elapsed_s < start_s + duration_s else None
