"""A simulated site for tests: a clock that the test turns, and faults that it chooses."""

from drivers.modbus.options import ModbusDeviceOptions
from drivers.simulation.faults import Fault, Faults
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.modbus_units import ModbusUnits
from drivers.simulation.register_map import ServedUnit
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import Shown, SimulatedSite
from edge.domain.settings import DeviceSettings

NOON_S = 12 * 3600.0


class Hands:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class ChosenSite(SimulatedSite):
    """A site whose devices suffer from what the test says, and show what it says if it does."""

    def __init__(self, clock: Hands | None = None, *, faults: Faults = ()) -> None:
        super().__init__(Greenhouse.at(NOON_S, seed=1), now_s=clock or Hands(), seed=1, faults=faults)
        # By device; "" = all others.
        self.chosen: dict[str, Fault | None] = {}
        self.values: dict[str, dict[str, float | bool | str]] = {}

    def fault(self, device: SimulatedDevice) -> Fault | None:
        chosen = self.chosen.get(device.device_id, self.chosen.get(""))
        return super().fault(device) if chosen is None else chosen

    def shown(self, device: SimulatedDevice) -> Shown:
        values = self.values.get(device.device_id)
        return super().shown(device) if values is None else Shown(values=values, fault=self.fault(device))


def simulated(settings: DeviceSettings, faults: Faults = ()) -> SimulatedDevice:
    return SimulatedDevice(device_id=settings.id, points=settings.points, faults=faults)


def unit_of(settings: DeviceSettings, faults: Faults = ()) -> ServedUnit:
    assert isinstance(settings.options, ModbusDeviceOptions)
    return ServedUnit(device=simulated(settings, faults), address=settings.options.address)


def units_of(site: SimulatedSite, *devices: DeviceSettings) -> ModbusUnits:
    return ModbusUnits([unit_of(device) for device in devices], site)
