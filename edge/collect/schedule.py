"""Decides which device is polled when. Pure: time comes in as an argument, nothing here waits.

Each device has its own grid of moments, `phase + k * interval`. A poll that comes late or was missed moves nothing: the
device is simply due again at the next moment of its grid, so that nothing queues up and phases stay spread.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# First polls are spread over the interval, but a device that is asked once an hour should not show nothing for an hour.
SPREAD_S_MAX = 10.0


@dataclass(slots=True)
class _Slot:
    """A device's place in the schedule."""

    phase_s: float
    interval_s: float
    due_s: float
    # Backed off: not polled before this moment.
    held_until_s: float = -math.inf
    enabled: bool = True


def next_moment(phase_s: float, interval_s: float, after_s: float) -> float:
    """Return the first moment of a grid that lies after a time."""
    if after_s < phase_s:
        return phase_s
    count = math.floor((after_s - phase_s) / interval_s) + 1
    moment_s = phase_s + count * interval_s
    # The division may have been rounded up to the next whole number: the moment itself decides.
    while moment_s <= after_s:
        count += 1
        moment_s = phase_s + count * interval_s
    return moment_s


class Schedule:
    """The polls of one connection, which are made one at a time."""

    def __init__(self, intervals_s: Iterable[tuple[str, float]], *, start_s: float) -> None:
        intervals = dict(intervals_s)
        self._slots: dict[str, _Slot] = {}
        for index, (device_id, interval_s) in enumerate(intervals.items()):
            phase_s = start_s + min(interval_s, SPREAD_S_MAX) * index / len(intervals)
            self._slots[device_id] = _Slot(phase_s=phase_s, interval_s=interval_s, due_s=phase_s)

    def due(self, now_s: float) -> str | None:
        """Return the device that has been due for longest, or None."""
        found: str | None = None
        found_due_s = now_s
        for device_id, slot in self._slots.items():
            # A device later in the order wins only when it has waited longer.
            if slot.enabled and (slot.due_s < found_due_s or (found is None and slot.due_s == now_s)):
                found, found_due_s = device_id, slot.due_s
        return found

    def wake_s(self) -> float:
        """Return when the next device is due; infinity if none is enabled."""
        return min((slot.due_s for slot in self._slots.values() if slot.enabled), default=math.inf)

    def finished(self, device_id: str, *, started_s: float, now_s: float, hold_s: float = 0.0) -> None:
        """Note that a poll is over. What became due meanwhile is skipped; `hold_s` is a back-off from now on."""
        slot = self._slots[device_id]
        slot.held_until_s = now_s + hold_s if hold_s > 0 else -math.inf
        # A poll that began late is followed by the next moment of the grid only if that is not on its heels: a device
        # behind a busy wire would be asked twice in a row for one value.
        slot.due_s = self._next(slot, max(now_s, started_s + slot.interval_s / 2))

    def hasten(self, device_id: str, now_s: float) -> None:
        """Make a device due now, backed off or not. Its grid stays what it is."""
        self._slots[device_id].due_s = min(self._slots[device_id].due_s, now_s)

    def is_held(self, device_id: str, now_s: float) -> bool:
        """Whether a device is backed off."""
        return self._slots[device_id].held_until_s > now_s

    def release(self, now_s: float) -> None:
        """Forget all back-offs: the reason for them is gone."""
        for slot in self._slots.values():
            if slot.held_until_s > now_s:
                slot.held_until_s = -math.inf
                slot.due_s = self._next(slot, now_s)

    def change(self, device_id: str, *, interval_s: float, enabled: bool, now_s: float) -> None:
        """Give a device another interval, or stop or start it. Its phase and back-off stay; others are not touched."""
        slot = self._slots[device_id]
        if slot.interval_s != interval_s or (enabled and not slot.enabled):
            slot.interval_s = interval_s
            slot.due_s = self._next(slot, now_s)
        slot.enabled = enabled

    @staticmethod
    def _next(slot: _Slot, after_s: float) -> float:
        return next_moment(slot.phase_s, slot.interval_s, max(after_s, slot.held_until_s))
