"""Devices that exist only in this process: for tests, the bench, and a first try without hardware."""

from drivers.simulated.options import SimulatedConnectionOptions, SimulatedDeviceOptions, SimulatedPointOptions
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings


def create(connection: ConnectionSettings, _context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    from drivers.simulated.driver import create_driver  # noqa: PLC0415 - options are read without the driver

    return create_driver(connection)


KIND = DriverKind(
    name="simulated",
    title="Simulated devices in this process",
    connection_options=SimulatedConnectionOptions,
    device_options=SimulatedDeviceOptions,
    point_options=SimulatedPointOptions,
    create=create,
)
