"""Shows a site's serial instruments at pseudo-terminals: what `simulate` does for this driver."""

from contextlib import AsyncExitStack

from drivers.serial.options import SerialDeviceOptions, SerialPointOptions
from drivers.simulation.faults import SERIAL_FAULTS
from drivers.simulation.instruments import instruments, is_served
from drivers.simulation.pty_line import open_line
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.serial_device import SerialDevice
from drivers.simulation.site import SimulatedSite, each_served
from edge.domain.commissioning import Endpoint, Simulation
from edge.domain.settings import ConnectionSettings, DeviceSettings, PointSettings


async def _endpoint(stack: AsyncExitStack, connection: ConnectionSettings, simulation: Simulation) -> Endpoint:
    assert isinstance(simulation.house, SimulatedSite)
    devices = simulated_instruments(connection)
    party = instruments(devices, simulation.house, seed=simulation.seed)
    line = await stack.enter_async_context(open_line(simulation.ports / connection.id, party))
    names = ", ".join(device.device.device_id for device in devices)
    silent = ", ".join(device.device.device_id for device in devices if not is_served(device))
    left_out = f"; left out, for its frames cannot be made here: {silent}" if silent else ""
    return Endpoint(changes={"serial_port": str(line.link)}, sentence=f"serial {line.link}: {names}{left_out}")


# The hook: a serial port with instruments for each connection. Raises LinkTaken or OSError.
simulate = each_served(_endpoint)


def simulated_instruments(connection: ConnectionSettings) -> tuple[SerialDevice, ...]:
    """Return the devices of a port as the simulation takes them."""
    return tuple(map(_serial_device, connection.devices))


def _serial_device(device: DeviceSettings) -> SerialDevice:
    options = device.options
    assert isinstance(options, SerialDeviceOptions)
    return SerialDevice(
        device=SimulatedDevice(device_id=device.id, points=device.points, faults=SERIAL_FAULTS),
        decoder=options.decoder,
        fields={point.id: _field(point) for point in device.points},
        ask=options.ask,
        address=options.address,
        terminator=options.terminator,
        layout=options.layout,
        separator=options.separator,
        pattern=options.pattern,
        command=options.command,
    )


def _field(point: PointSettings) -> str:
    assert isinstance(point.options, SerialPointOptions)
    return point.id if point.options.field == "" else str(point.options.field)
