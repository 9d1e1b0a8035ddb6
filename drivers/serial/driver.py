"""Reads the instruments of one serial port: those that answer when asked, and one that speaks by itself.

Both are polled (see `continuous.py`), so the collector's schedule, back-off and loss of a device hold for both.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.decoders.dialogue import NoAnswer
from drivers.decoders.frame import FrameMalformed
from drivers.serial.asked import AskedDevice
from drivers.serial.continuous import ContinuousDevice
from drivers.serial.exchange import Exchange
from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions
from drivers.serial.port import Port, PortOpening, open_port
from edge.domain.driver import ConnectionLost, DeviceUnreachable, DriverContext, MalformedResponse
from edge.domain.reading import Sample
from edge.domain.serial_line import character_s, line_format
from edge.domain.settings import ConnectionSettings, DeviceSettings


class SerialDriver:
    """A PolledDriver for one serial port."""

    def __init__(self, connection: ConnectionSettings, context: DriverContext) -> None:
        assert isinstance(connection.options, SerialConnectionOptions)
        self._options = connection.options
        self._folder = context.folder
        self._opening = PortOpening()
        self._devices = {device.id: _created(device, connection.options, context) for device in connection.devices}
        self._opened: tuple[Port, Exchange] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the port for the length of the context; what arrives while it settles is dropped.

        Raises ConnectionLost or DriverMisconfigured.
        """
        options = self._options
        async with open_port(options, self._folder, self._opening) as port:
            await asyncio.sleep(options.settle_ms / 1000)
            port.take()
            exchange = Exchange(
                port,
                quiet_s=options.quiet_ms / 1000,
                character_s=character_s(options.baud_rate, line_format(options.format)),
            )
            for device in self._devices.values():
                device.opened()
            self._opened = (port, exchange)
            try:
                yield
            finally:
                self._opened = None

    async def poll(self, device_id: str) -> Sample:
        """Read all points of one device.

        Takes as long as the device's response time-out; of an SDI-12 sensor, as long as it needs to measure, too; and
        after a question that was not answered, the quiet period before the next.
        """
        if self._opened is None:
            raise ConnectionLost(f"{self._options.serial_port} is not open")
        port, exchange = self._opened
        device = self._devices[device_id]
        try:
            if isinstance(device, ContinuousDevice):
                readings = await device.read(port)
            else:
                readings = await device.read(exchange)
        except NoAnswer as error:
            where = f"{device_id} at {self._options.serial_port}"
            if isinstance(device, ContinuousDevice):
                sentence = f"said nothing for {device.response_timeout_s:g} s (response_timeout_ms)"
            else:
                sentence = f"did not answer within {device.response_timeout_s:g} s"
            raise DeviceUnreachable(f"{where} {sentence}") from error
        except FrameMalformed as error:
            malformed = MalformedResponse(f"{device_id} at {self._options.serial_port}: {error}")
            for note in getattr(error, "__notes__", ()):
                malformed.add_note(note)
            raise malformed from error
        return Sample(device_id=device_id, readings=readings)


def _created(
    device: DeviceSettings, line: SerialConnectionOptions, context: DriverContext
) -> AskedDevice | ContinuousDevice:
    assert isinstance(device.options, SerialDeviceOptions)
    return AskedDevice(device, line, context) if device.options.is_asked else ContinuousDevice(device, line)
