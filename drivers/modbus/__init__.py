"""Modbus devices, asked over Modbus/TCP. Importing this loads no transport."""

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, ModbusPointOptions
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings


def create(connection: ConnectionSettings, _context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    from drivers.modbus.driver import ModbusDriver  # noqa: PLC0415 - pymodbus only where a site has Modbus

    return ModbusDriver(connection)


KIND = DriverKind(
    name="modbus",
    title="Modbus devices over Modbus/TCP",
    connection_options=ModbusConnectionOptions,
    device_options=ModbusDeviceOptions,
    point_options=ModbusPointOptions,
    create=create,
)
