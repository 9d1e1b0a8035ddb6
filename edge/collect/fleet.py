"""All devices of the site, as the collectors, the configuration loop and the status verb share them."""

from collections.abc import Callable, Mapping, Sequence

from edge.collect.connection import ConnectionState
from edge.collect.device import DeviceState
from edge.collect.status import FleetStatus, Progress, connection_status, device_status
from edge.domain.author import Author
from edge.domain.configuration import EffectiveConfiguration
from edge.domain.settings import ConnectionSettings


class Fleet:
    """The devices and connections (implements `DeviceFleet`)."""

    def __init__(
        self,
        connections: Sequence[ConnectionSettings],
        configurations: Mapping[str, EffectiveConfiguration],
        *,
        author: Author,
    ) -> None:
        self._clock = author.clock
        self._connections = {connection.id: ConnectionState(connection.id) for connection in connections}
        self._devices = {
            device.id: DeviceState(author, device, configurations[device.id], connection_id=connection.id)
            for connection in connections
            for device in connection.devices
        }

    def configure(self, configuration: EffectiveConfiguration) -> None:
        """Put a configuration into force. Only this device notices."""
        self._devices[configuration.device_id].configure(configuration)

    def configuration(self, device_id: str) -> EffectiveConfiguration:
        """Return what is in force. Raises KeyError for an unknown device."""
        return self._devices[device_id].in_force.configuration

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
        return FleetStatus(
            connections=tuple(connection_status(state) for state in self._connections.values()),
            devices=tuple(device_status(state, now_s) for state in self._devices.values()),
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
            )
            for state in self._devices.values()
        )
