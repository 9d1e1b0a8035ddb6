"""Serial instruments: lines, NMEA 0183, Atlas EZO, SDI-12, binary frames. Importing this loads no transport."""

from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions, SerialPointOptions
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings


def create(connection: ConnectionSettings, context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    raise NotImplementedError


KIND = DriverKind(
    name="serial",
    title="Serial instruments: lines, NMEA 0183, Atlas EZO, SDI-12, binary frames",
    connection_options=SerialConnectionOptions,
    device_options=SerialDeviceOptions,
    point_options=SerialPointOptions,
    create=create,
)
