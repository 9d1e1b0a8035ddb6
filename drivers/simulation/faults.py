"""What goes wrong in the field, on a timetable that the seed decides. Pure."""

import random
from enum import StrEnum

# One fault, at most, in each such stretch of a device's time.
STRETCH_S = 300.0
DURATION_S_MIN, DURATION_S_MAX = 15.0, 60.0
# How late a late answer comes: after most time-outs, before the next poll.
LATE_BY_S = 2.0


class Fault(StrEnum):
    """Each seen at real devices (facts/devices.md section 4)."""

    SILENT = "silent"
    LATE = "late"
    BUSY = "busy"
    NOT_A_NUMBER = "not_a_number"
    STUCK = "stuck"


def fault_at(device_id: str, elapsed_s: float, seed: int) -> Fault | None:
    """Return the fault that a device has at this time, if any. Every second stretch, on average, has one."""
    stretch = int(elapsed_s // STRETCH_S)
    chance = random.Random(f"{seed}/{device_id}/{stretch}")  # noqa: S311 - to be repeated, not to be secret
    fault = chance.choice([*Fault, *[None] * len(Fault)])
    duration_s = chance.uniform(DURATION_S_MIN, DURATION_S_MAX)
    start_s = stretch * STRETCH_S + chance.uniform(0, STRETCH_S - duration_s)
    return fault if start_s <= elapsed_s < start_s + duration_s else None
