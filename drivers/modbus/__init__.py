"""Modbus devices: over Modbus/TCP, on a serial line (RTU), or behind a converter that passes RTU over TCP.

Importing this loads no transport.
"""

from collections.abc import Iterator

from drivers.decoders.modbus_status import status_mistakes
from drivers.first_day import HooksIn
from drivers.modbus import first_day
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, ModbusPointOptions
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings


def create(connection: ConnectionSettings, _context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    from drivers.modbus.driver import ModbusDriver  # noqa: PLC0415 - pymodbus only where a site has Modbus

    return ModbusDriver(connection)


def mistakes(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Say what is wrong with devices as a whole."""
    for device in connection.devices:
        for sentence in status_mistakes(device):
            yield device.id, sentence


def cautions(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Say what is allowed and yet fails in the field."""
    from drivers.modbus.line_time import bus_load_cautions  # noqa: PLC0415 - only `check` asks

    yield from bus_load_cautions(connection)


_HOOKS = HooksIn("drivers.modbus")

KIND = DriverKind(
    name="modbus",
    title="Modbus devices over Modbus/TCP, on a serial line, or RTU over TCP",
    connection_options=ModbusConnectionOptions,
    device_options=ModbusDeviceOptions,
    point_options=ModbusPointOptions,
    create=create,
    mistakes=mistakes,
    cautions=cautions,
    scan=_HOOKS.scan,
    probe=first_day.probe,
    decode=_HOOKS.decode,
    first_day=first_day.FIRST_DAY,
    simulate=_HOOKS.simulate,
)
