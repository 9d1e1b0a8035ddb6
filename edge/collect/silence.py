"""Notices devices that send by themselves and have stopped."""

import asyncio
import math
from collections.abc import Mapping

from edge.collect.availability import is_silent
from edge.collect.connection import ConnectionState, Outcomes
from edge.collect.declarations import OFFER_INTERVAL_S
from edge.collect.device import DeviceState
from edge.domain.clock import Clock
from edge.domain.driver import ConnectionLost, DriverError

# The owner task shows at least this often that it is alive.
WATCH_S_MAX = 10.0


class SilenceWatch:
    """Counts the silence of one connection's devices, from when they could be heard.

    - A pause of ours counts against no device.
    - A device that is disabled, or lost already, is not looked at.
    """

    def __init__(
        self, connection: ConnectionState, devices: Mapping[str, DeviceState], outcomes: Outcomes, clock: Clock
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._outcomes = outcomes
        self._clock = clock
        # Nothing is received, so no device is heard.
        self.is_paused = False
        self._listening_since_s: dict[str, float] = {}
        self._looked_for = asyncio.Event()

    def begin(self) -> None:
        """Begin to count for all devices: none was heard before."""
        self.is_paused = False
        self._listening_since_s = dict.fromkeys(self._devices, self._clock.monotonic_s())

    def begin_with(self, device_id: str) -> None:
        """Begin to count for one device: it joined, or was enabled."""
        self._listening_since_s[device_id] = self._clock.monotonic_s()

    def look_soon(self) -> None:
        """Look at once: something has changed that decides when to look next."""
        self._looked_for.set()

    async def run(self) -> None:
        """Look at all devices when the next one could be lost, without end; offer again what the outbox refused."""
        while True:
            now_s = self._clock.monotonic_s()
            self._outcomes.catch_up(now_s)
            wake_s = min([now_s + WATCH_S_MAX, *(self._look(state, now_s) for state in self._devices.values())])
            if self._outcomes.catch_up_s is not None:
                wake_s = min(wake_s, now_s + OFFER_INTERVAL_S)
            try:
                async with asyncio.timeout(wake_s - now_s):
                    await self._looked_for.wait()
            except TimeoutError:
                continue
            self._looked_for.clear()

    def _look(self, state: DeviceState, now_s: float) -> float:
        """Declare a device lost that was silent for too long; return when to look again."""
        if self.is_paused or not state.is_enabled or state.availability.is_lost:
            return math.inf
        since_s = self._listening_since_s[state.id]
        heard_s = since_s if state.heard_s is None else max(since_s, state.heard_s)
        max_silence_s = state.silence_max_s
        if not is_silent(heard_s=heard_s, max_silence_s=max_silence_s, now_s=now_s):
            return heard_s + max_silence_s
        if self._connection.is_open:
            self._outcomes.left(state, DriverError(f"silent for {max_silence_s:g} s"), heard_s)
        else:
            self._outcomes.left(state, ConnectionLost(self._connection.last_error or "not open"), heard_s)
        return math.inf
