"""Shows a site's Modbus devices with the simulation's servers: what `simulate` does for this driver."""

from contextlib import AsyncExitStack

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from drivers.simulation.faults import MODBUS_RTU_FAULTS, MODBUS_TCP_FAULTS
from drivers.simulation.modbus_server import Framing, PortTaken, serve_host
from drivers.simulation.modbus_units import ModbusUnits
from drivers.simulation.pty_line import open_line
from drivers.simulation.register_map import ServedUnit
from drivers.simulation.rtu_bus import RtuBus
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import SimulatedSite, each_served
from edge.domain.commissioning import Endpoint, Simulation
from edge.domain.settings import ConnectionSettings


async def _endpoint(stack: AsyncExitStack, connection: ConnectionSettings, simulation: Simulation) -> Endpoint:
    assert isinstance(connection.options, ModbusConnectionOptions)
    assert isinstance(simulation.house, SimulatedSite)
    is_tcp = connection.options.transport == "tcp"
    served = _units(connection, is_tcp=is_tcp)
    units = ModbusUnits(served, simulation.house)
    names = ", ".join(f"{unit.device.device_id} (unit {unit.address})" for unit in served)
    if connection.options.transport == "serial":
        bus = RtuBus(units, seed=simulation.seed)
        line = await stack.enter_async_context(open_line(simulation.ports / connection.id, bus))
        return Endpoint(changes={"serial_port": str(line.link)}, sentence=f"modbus rtu {line.link}: {names}")
    wanted = simulation.earlier.get(connection.id, 0)
    port = await _listen(stack, units, simulation, "tcp" if is_tcp else "rtu", wanted)
    kind = "modbus tcp" if is_tcp else "modbus rtu over tcp"
    return Endpoint(
        changes={"host": simulation.listen, "tcp_port": port}, sentence=f"{kind} {simulation.listen}:{port}: {names}"
    )


# The hook: hosts on TCP ports, and serial lines. Raises PortTaken, LinkTaken or OSError.
simulate = each_served(_endpoint)


def _units(connection: ConnectionSettings, *, is_tcp: bool) -> tuple[ServedUnit, ...]:
    faults = MODBUS_TCP_FAULTS if is_tcp else MODBUS_RTU_FAULTS
    return tuple(
        ServedUnit(
            device=SimulatedDevice(device_id=device.id, points=device.points, faults=faults),
            address=device.options.address,
        )
        for device in connection.devices
        if isinstance(device.options, ModbusDeviceOptions)
    )


async def _listen(
    stack: AsyncExitStack, units: ModbusUnits, simulation: Simulation, framing: Framing, wanted: int
) -> int:
    """Open a TCP port: the one of last time (0 = there was none), or else any."""
    try:
        return await _listen_at(stack, units, simulation, framing, wanted)
    except PortTaken:
        if not wanted:
            raise
        return await _listen_at(stack, units, simulation, framing, 0)


async def _listen_at(
    stack: AsyncExitStack, units: ModbusUnits, simulation: Simulation, framing: Framing, port: int
) -> int:
    server = serve_host(units, listen=simulation.listen, port=port, framing=framing, seed=simulation.seed)
    return await stack.enter_async_context(server)
