"""All devices of the site, as the collectors, the configuration loop and the status verb share them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge.collect.connection import ConnectionState
from edge.collect.declarations import connection_fault, device_fault, lost_since, stalls_told
from edge.collect.device import Counters, DeviceState
from edge.collect.status import FleetStatus, Progress, connection_status, device_status
from edge.collect.wishes import Wish
from edge.domain.author import Author
from edge.domain.configuration import EffectiveConfiguration, WriteFailed
from edge.domain.driver import LatestReading
from edge.domain.reading import Quality, Reading, Reason, Value
from edge.domain.settings import ConnectionSettings, DeviceSettings
from edge.storage.remembered import OpenAlarms


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The readings of one device that was asked, or what went wrong."""

    readings: Mapping[str, Reading] | None = None
    error: str = ""


class Fleet:
    """The devices and connections (implements `DeviceFleet` and `PointWriter`)."""

    def __init__(
        self,
        connections: Sequence[ConnectionSettings],
        configurations: Mapping[str, EffectiveConfiguration],
        *,
        author: Author,
        alarms: OpenAlarms | None = None,
    ) -> None:
        self._author = author
        self._clock = author.clock
        # What earlier runs left open, at first; a device that joins later may have been lost before.
        self._alarms = OpenAlarms() if alarms is None else alarms
        self._connections: dict[str, ConnectionState] = {}
        self._devices: dict[str, DeviceState] = {}
        # Of every connection that there was in this run: one that comes back takes its old place in the status.
        self._places: dict[str, int] = {}
        # Of every device that there was in this run.
        self._counters: dict[str, Counters] = {}
        for connection in connections:
            self.enter(connection.id)
            for device in connection.devices:
                self.join(device, configurations[device.id], connection_id=connection.id)

    def _state(
        self, device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str
    ) -> DeviceState:
        return DeviceState(
            self._author,
            device,
            configuration,
            connection_id=connection_id,
            lost_since=lost_since(self._alarms, device.id),
            has_alarm=device_fault(device.id) in self._alarms,
            counters=self._counters.setdefault(device.id, Counters()),
        )

    async def apply(self, configuration: EffectiveConfiguration) -> None:
        """Bring what a device itself holds to a configuration. No device holds any of it yet."""

    def configure(self, configuration: EffectiveConfiguration) -> None:
        """Put a configuration into force. Only this device notices; one that has left gets it when it joins again."""
        state = self._devices.get(configuration.device_id)
        if state is not None:
            state.configure(configuration)

    async def read(self, device_ids: Sequence[str], *, timeout_s: float) -> dict[str, Told]:
        """Poll devices before their time, for a caller that asks now: the ports are ours, so no other process can.

        What they say is recorded like any other sample. Of a device that speaks by itself this is what it said last.
        Unknown devices are left out.
        """
        known = [self._devices[device_id] for device_id in dict.fromkeys(device_ids) if device_id in self._devices]
        told = await asyncio.gather(*(self._read(state, timeout_s) for state in known))
        return {state.id: said for state, said in zip(known, told, strict=True)}

    async def _read(self, state: DeviceState, timeout_s: float) -> Told:
        if not state.is_enabled:
            return Told(error="is disabled by its configuration")
        connection = self._connections[state.connection_id]
        if connection.poll_now is None:
            return _said_last(state)
        heard_s = state.heard_s
        try:
            async with asyncio.timeout(timeout_s):
                await connection.poll_now(state.id)
        except TimeoutError:
            return Told(error=connection.why_unreached(timeout_s))
        if state.heard_s == heard_s:
            return Told(error=state.last_error or "gave no sample")
        return Told(readings=state.published_readings())

    async def write(self, device_id: str, point_id: str, value: Value, *, timeout_s: float) -> None:
        """Have a device take a value for one of its points; see `PointWriter`. Raises WriteFailed."""
        state = self._devices[device_id]
        write = self._connections[state.connection_id].write
        if write is None:
            raise WriteFailed("cannot be written over its connection", may_have_arrived=False)
        await write(Wish(device_id, point_id, value), timeout_s)

    def configuration(self, device_id: str) -> EffectiveConfiguration:
        """Return what is in force. Raises KeyError for an unknown device."""
        return self._devices[device_id].in_force.configuration

    def all_devices(self) -> list[DeviceSettings]:
        """Return every device there is now: those of the site file, and those that its groups have adopted."""
        return [state.settings for state in self._devices.values()]

    def device(self, device_id: str) -> DeviceSettings | None:
        """Return a device; None if there is none with this id."""
        state = self._devices.get(device_id)
        return None if state is None else state.settings

    def connection_id(self, device_id: str) -> str:
        """Return the connection that a device is behind. Raises KeyError for an unknown device."""
        return self._devices[device_id].connection_id

    def state(self, device_id: str) -> DeviceState:
        """Return what is known of a device. Raises KeyError for an unknown one."""
        return self._devices[device_id]

    def enter(self, connection_id: str) -> None:
        """Take on a connection; its devices join afterwards."""
        assert connection_id not in self._connections, "a connection leaves before it enters again"
        self._places.setdefault(connection_id, len(self._places))
        self._connections[connection_id] = ConnectionState(
            connection_id,
            has_alarm=connection_fault(connection_id) in self._alarms,
            stalls_told=stalls_told(self._alarms, connection_id),
        )

    def join(self, device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str) -> None:
        """Take on a device of a connection: one of the site file, or one that a group has adopted."""
        assert device.id not in self._devices, "who lets a device join has looked, and nobody was between"
        self._devices[device.id] = self._state(device, configuration, connection_id=connection_id)

    def leave(self, connection_id: str) -> None:
        """Forget a connection and its devices. Their collector has ended before."""
        del self._connections[connection_id]
        self._devices = {state.id: state for state in self._devices.values() if state.connection_id != connection_id}

    def latest(self, device_id: str, point_id: str) -> LatestReading | None:
        """Return a point's newest reading, for a driver that needs it in a question to another device.

        None if it is bad, or of unknown age (retained by a broker): it says nothing that could be relied on.
        """
        state = self._devices.get(device_id)
        reading = None if state is None else state.readings.get(point_id)
        if state is None or reading is None or reading.quality is Quality.BAD or reading.reason is Reason.STALE:
            return None
        return LatestReading(reading=reading, age_s=self._clock.monotonic_s() - state.read_s[point_id])

    def connection(self, connection_id: str) -> ConnectionState:
        """Return the state of a connection."""
        return self._connections[connection_id]

    def devices(self, connection_id: str) -> dict[str, DeviceState]:
        """Return the devices behind a connection, in the site file's order."""
        return {state.id: state for state in self._devices.values() if state.connection_id == connection_id}

    def attach(self, connection_id: str, listener: Callable[[DeviceState], None]) -> None:
        """Tell a connection's collector of each new configuration of its devices."""
        for state in self.devices(connection_id).values():
            state.attach(listener)

    def status(self) -> FleetStatus:
        """Take a snapshot of everything."""
        now_s = self._clock.monotonic_s()
        devices = sorted(self._devices.values(), key=lambda state: self._places[state.connection_id])
        return FleetStatus(
            connections=tuple(
                connection_status(self._connections[connection_id], now_s)
                for connection_id in self._places
                if connection_id in self._connections
            ),
            devices=tuple(device_status(state, self._connections[state.connection_id], now_s) for state in devices),
        )

    def progress(self) -> tuple[Progress, ...]:
        """Tell when each device's collector last finished with it: what the watchdog is fed by."""
        return tuple(
            Progress(
                device_id=state.id,
                connection_id=state.connection_id,
                is_enabled=state.is_enabled,
                poll_interval_s=state.interval_s,
                cycle_s=state.cycle_s,
                stalled_since_s=None if call is None else call.began_s,
            )
            for state in self._devices.values()
            for call in (self._connections[state.connection_id].stalled,)
        )


def _said_last(state: DeviceState) -> Told:
    if state.settings.is_polled:
        return Told(error="is not polled: its connection is stopped")
    if state.heard_s is None:
        return Told(error="has said nothing yet since the start")
    return Told(readings=state.published_readings())
