"""Settings of serial connections, made without a site file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drivers.serial.driver import SerialDriver
from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions, SerialPointOptions
from edge.domain.driver import DriverContext
from edge.domain.quantity import IDENTITY
from edge.domain.settings import ConnectionSettings, DeviceSettings, PointSettings

# A site whose one device is what a packaged profile says.
PROFILE_SITE = """\
[site]
id = "test"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "line"
driver = "serial"
serial_port = "/dev/serial/by-id/usb-test"
[[connection.device]]
id = "probe"
profile = "{profile}"
poll_interval_s = 60
"""


def point(
    point_id: str, field: str | int = "", *, unit: str | None = None, options: SerialPointOptions | None = None
) -> PointSettings:
    options = options or SerialPointOptions(field=field)
    assert not options.mistakes()
    return PointSettings(
        id=point_id, quantity=None, type=options.value_type, unit=unit, conversion=IDENTITY, options=options
    )


def device(device_id: str, *points: PointSettings, **options: Any) -> DeviceSettings:
    """Make a device; `options` are those of SerialDeviceOptions."""
    device_options = SerialDeviceOptions(**options)
    assert not device_options.mistakes()
    return DeviceSettings(id=device_id, points=points, poll_interval_s=1.0, max_silence_s=60.0, options=device_options)


def ezo(*points: PointSettings, **options: Any) -> DeviceSettings:
    """Make an EZO circuit that answers `R` with one value, its pH."""
    defaults = {"decoder": "ezo", "ask": "R\r"}
    return device("ezo", *(points or (point("ph", 0, unit="[pH]"),)), **(defaults | options))


def line_options(serial_port: Path | str = "port", **options: Any) -> SerialConnectionOptions:
    """Make the options of a port whose device answers at once, if at all."""
    defaults = {"response_timeout_ms": 2000, "quiet_ms": 20}
    connection_options = SerialConnectionOptions(serial_port=str(serial_port), **(defaults | options))
    assert not connection_options.mistakes()
    return connection_options


def connection(serial_port: Path | str, *devices: DeviceSettings, **options: Any) -> ConnectionSettings:
    return ConnectionSettings(id="port", driver="serial", options=line_options(serial_port, **options), devices=devices)


@asynccontextmanager
async def opened(
    serial_port: Path, *devices: DeviceSettings, context: DriverContext | None = None, **options: Any
) -> AsyncIterator[SerialDriver]:
    """A driver whose port is open for the length of the context."""
    driver = SerialDriver(connection(serial_port, *devices, **options), context or DriverContext())
    async with driver.open():
        yield driver
