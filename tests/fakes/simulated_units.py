"""The simulated Modbus devices of a connection, in this process, in a greenhouse where time stands still."""

from collections import Counter
from collections.abc import Collection, Sequence

from drivers.modbus.options import ModbusDeviceOptions
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.modbus_units import ModbusUnits, Reply
from drivers.simulation.register_map import ServedUnit
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import SimulatedSite
from edge.domain.settings import ConnectionSettings


class CountingUnits(ModbusUnits):
    """Simulated devices that count what each is asked, one that is not there included."""

    def __init__(self, units: Sequence[ServedUnit], site: SimulatedSite) -> None:
        super().__init__(units, site)
        self.asked: Counter[int] = Counter()

    def reply(self, address: int, pdu: bytes) -> Reply | None:
        self.asked[address] += 1
        return super().reply(address, pdu)


def simulated_units(connection: ConnectionSettings, *, dead: Collection[int] = ()) -> CountingUnits:
    """Make the devices of a connection, without those that are dead."""
    units = []
    for device in connection.devices:
        assert isinstance(device.options, ModbusDeviceOptions)
        if device.options.address not in dead:
            simulated = SimulatedDevice(device_id=device.id, points=device.points)
            units.append(ServedUnit(device=simulated, address=device.options.address))
    return CountingUnits(units, SimulatedSite(Greenhouse.at(36_000, seed=1), now_s=float))
