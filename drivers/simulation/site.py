"""The simulated site: one greenhouse, what each of its devices shows at this moment, and its connections served."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from drivers.simulation.faults import Fault, Faults, fault_at
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.sensors import Sensors, SimulatedDevice
from edge.domain.commissioning import Endpoint, Simulation
from edge.domain.reading import Value
from edge.domain.settings import ConnectionSettings, DeviceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a device tells now, in canonical units, and what is wrong with it."""

    values: Mapping[str, Value]
    fault: Fault | None = None


class SimulatedSite:
    """Advances its greenhouse whenever a device is shown."""

    def __init__(
        self,
        greenhouse: Greenhouse,
        *,
        now_s: Callable[[], float],
        seed: int = 0,
        speed: float = 1.0,
        faults: Faults = (),
    ) -> None:
        self._greenhouse = greenhouse
        self._now_s = now_s
        self._start_s = now_s()
        self._seen_s = self._start_s
        self._seed = seed
        self._speed = speed
        self._faults = frozenset(faults)
        self._sensors: dict[str, Sensors] = {}
        self._last: dict[str, Mapping[str, Value]] = {}

    def fault(self, device: SimulatedDevice) -> Fault | None:
        """Return what is wrong with a device now. Faults last as long at any speed."""
        faults = [fault for fault in device.faults if fault in self._faults]
        return fault_at(device.device_id, self._now_s() - self._start_s, self._seed, faults) if faults else None

    def shown(self, device: SimulatedDevice) -> Shown:
        """Return what a device tells now."""
        fault = self.fault(device)
        if fault is Fault.STUCK and device.device_id in self._last:
            return Shown(values=self._last[device.device_id], fault=fault)
        now_s = self._now_s()
        self._greenhouse.advance((now_s - self._seen_s) * self._speed)
        self._seen_s = now_s
        if device.device_id not in self._sensors:
            self._sensors[device.device_id] = Sensors(device, self._seed)
        values = self._sensors[device.device_id].measured(self._greenhouse, fault)
        self._last[device.device_id] = values
        return Shown(values=values, fault=fault)

    def measured(self, device: DeviceSettings) -> Mapping[str, Value]:
        """Return what a device's points show now, in canonical units."""
        return self.shown(SimulatedDevice(device_id=device.id, points=device.points)).values


def each_served(
    serve: Callable[[AsyncExitStack, ConnectionSettings, Simulation], Awaitable[Endpoint]],
) -> Callable[[Sequence[ConnectionSettings], Simulation], AbstractAsyncContextManager[Mapping[str, Endpoint]]]:
    """Make a driver's hook `simulate` from a function that serves one connection. The stack ends with the context."""

    @asynccontextmanager
    async def simulate(
        connections: Sequence[ConnectionSettings], simulation: Simulation
    ) -> AsyncIterator[Mapping[str, Endpoint]]:
        async with AsyncExitStack() as stack:
            yield {connection.id: await serve(stack, connection, simulation) for connection in connections}

    return simulate
