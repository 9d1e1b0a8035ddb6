"""Serial instruments: lines, NMEA 0183, Atlas EZO, SDI-12, binary frames. Importing this loads no transport."""

from collections.abc import Iterator

from drivers.decoders.sdi12 import ANY_ADDRESS
from drivers.first_day import HooksIn
from drivers.serial import first_day
from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions, SerialPointOptions
from edge.domain.driver import Driver, DriverContext, DriverKind
from edge.domain.settings import ConnectionSettings


def create(connection: ConnectionSettings, context: DriverContext) -> Driver:
    """Make the driver of one connection."""
    from drivers.serial.driver import SerialDriver  # noqa: PLC0415 - pyserial only where a site has serial ports

    return SerialDriver(connection, context)


def mistakes(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Say what is wrong with the devices of a port together."""
    options = {device.id: device.options for device in connection.devices}
    sdi12: dict[tuple[str, str], str] = {}
    for device_id, device in options.items():
        assert isinstance(device, SerialDeviceOptions)
        if not device.is_asked and len(options) > 1:
            yield device_id, "it has no ask: a device that speaks by itself needs a port of its own"
        if device.decoder != "sdi12":
            continue
        if device.address == ANY_ADDRESS and len(options) > 1:
            yield device_id, 'address "?" means any sensor; there are several devices on the port'
        other = sdi12.setdefault((device.address, device.command), device_id)
        if other != device_id:
            yield device_id, f"address {device.address!r} with command {device.command} is already {other}"


def cautions(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Say what is allowed and yet fails in the field."""
    for device in connection.devices:
        assert isinstance(device.options, SerialDeviceOptions)
        if "{compensation}" in device.options.ask and device.options.compensation is None:
            yield device.id, "no compensation is given: each reading will be uncertain, made for 25 degrees"


_HOOKS = HooksIn("drivers.serial")

KIND = DriverKind(
    name="serial",
    title="Serial instruments: lines, NMEA 0183, Atlas EZO, SDI-12, binary frames",
    connection_options=SerialConnectionOptions,
    device_options=SerialDeviceOptions,
    point_options=SerialPointOptions,
    create=create,
    mistakes=mistakes,
    cautions=cautions,
    # Where an instrument stands on its bus does not matter to what it says.
    stand_ins={"address": "0"},
    scan=_HOOKS.scan,
    decode=_HOOKS.decode,
    first_day=first_day.FIRST_DAY,
    simulate=_HOOKS.simulate,
)
