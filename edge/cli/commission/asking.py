"""Reads devices over their own wires, once, without a daemon: what `read` does where none runs."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drivers import driver_kind
from edge.cli import EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission.shown import judged
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    DriverContext,
    DriverError,
    PolledDriver,
    PushedDriver,
)
from edge.domain.reading import Reading
from edge.domain.settings import ConnectionSettings, DeviceSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one device said: readings, or what went wrong and the exit code for it."""

    readings: Mapping[str, Reading] | None = None
    error: str = ""
    code: int = 0


def failed(error: DriverError) -> Said:
    """Make the outcome of an error."""
    is_temporary = isinstance(error, ConnectionLost | DeviceUnreachable)
    return Said(error=str(error) or type(error).__name__, code=EXIT_TEMPORARY if is_temporary else EXIT_FAILED)


async def read_devices(
    settings: Settings, wanted: Sequence[DeviceSettings], context: DriverContext, timeout_s: float
) -> dict[str, Said]:
    """Read each device once, all connections side by side. `timeout_s` is for devices that speak by themselves."""
    said: dict[str, Said] = {}
    async with asyncio.TaskGroup() as tasks:
        for connection in settings.connections:
            devices = tuple(device for device in connection.devices if device in wanted)
            if devices:
                part = replace(connection, devices=devices, groups=())
                tasks.create_task(_read_connection(part, context, timeout_s, said), name=f"read {connection.id}")
    return {device.id: said[device.id] for device in wanted}


async def _read_connection(
    connection: ConnectionSettings, context: DriverContext, timeout_s: float, said: dict[str, Said]
) -> None:
    try:
        driver = driver_kind(connection.driver).create(connection, context)
        async with driver.open():
            if isinstance(driver, PolledDriver):
                for device in connection.devices:
                    said[device.id] = await _poll(driver, device)
            else:
                await _listen(driver, connection, timeout_s, said)
    except DriverError as error:
        for device in connection.devices:
            said.setdefault(device.id, failed(error))


async def _poll(driver: PolledDriver, device: DeviceSettings) -> Said:
    try:
        sample = await driver.poll(device.id)
    except ConnectionLost:
        raise
    except DriverError as error:
        return failed(error)
    return Said(readings=judged(device, sample.readings))


async def _listen(
    driver: PushedDriver, connection: ConnectionSettings, timeout_s: float, said: dict[str, Said]
) -> None:
    """Take what comes until each device has spoken, or the time is over. Nothing is acknowledged: it comes again."""
    devices = {device.id: device for device in connection.devices}
    heard: dict[str, dict[str, Reading]] = {}
    troubles: dict[str, Said] = {}
    try:
        async with asyncio.timeout(timeout_s):
            while heard.keys() != devices.keys():
                try:
                    samples = await driver.receive()
                except ConnectionLost:
                    raise
                except DriverError as error:
                    troubles[error.device_id or ""] = failed(error)
                    continue
                for sample in samples:
                    heard.setdefault(sample.device_id, {}).update(sample.readings)
    except TimeoutError:
        pass
    for device_id, device in devices.items():
        if device_id in heard:
            said[device_id] = Said(readings=judged(device, heard[device_id]))
        else:
            silent = Said(error=f"said nothing within {timeout_s:g} s", code=EXIT_TEMPORARY)
            said[device_id] = troubles.get(device_id, silent)
