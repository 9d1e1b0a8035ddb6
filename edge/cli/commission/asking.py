"""Reads devices over their own wires, once, without a daemon: what `read` does where none runs."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from drivers import DriverUnknown, driver_kind, foreign_code
from edge.cli import EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission.shown import judged
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    Driver,
    DriverContext,
    DriverError,
    PolledDriver,
    PushedDriver,
)
from edge.domain.reading import Reading
from edge.domain.settings import ConnectionSettings, DeviceSettings, Settings

# How long to wait for the other points of the last device after its first one.
BREATH_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Said:
    """The outcome of one device: readings, or what went wrong and its exit code."""

    readings: Mapping[str, Reading] | None = None
    error: str = ""
    code: int = 0


def failed(error: DriverError | DriverUnknown) -> Said:
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
        kind = driver_kind(connection.driver)
        with foreign_code(kind.name, "broke while it was read", passing=(asyncio.CancelledError, DriverError)):
            driver = kind.create(kind.visiting(connection), context)
            async with driver.open():
                await _read_open(driver, connection, timeout_s, said)
    except (DriverError, DriverUnknown) as error:
        for device in connection.devices:
            said.setdefault(device.id, failed(error))


async def _read_open(driver: Driver, connection: ConnectionSettings, timeout_s: float, said: dict[str, Said]) -> None:
    if isinstance(driver, PolledDriver):
        for device in connection.devices:
            said[device.id] = await _poll(driver, device)
    else:
        await _listen(driver, connection, timeout_s, said)


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
    heard: dict[str, dict[str, Reading]] = {device.id: {} for device in connection.devices}
    troubles: dict[str, Said] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s) as limit:
            await _hear_all(driver, connection, heard, troubles, limit)
    for device in connection.devices:
        if heard[device.id]:
            said[device.id] = Said(readings=judged(device, heard[device.id]))
        else:
            silent = Said(error=f"said nothing within {timeout_s:g} s", code=EXIT_TEMPORARY)
            said[device.id] = troubles.get(device.id, silent)


async def _hear_all(
    driver: PushedDriver,
    connection: ConnectionSettings,
    heard: dict[str, dict[str, Reading]],
    troubles: dict[str, Said],
    limit: asyncio.Timeout,
) -> None:
    """Take what comes until every point is heard; soon after each device has spoken, the limit ends it."""
    while not all(map(_is_complete, connection.devices, heard.values())):
        await _hear(driver, heard, troubles)
        if all(heard.values()):
            _shorten(limit)


async def _hear(driver: PushedDriver, heard: dict[str, dict[str, Reading]], troubles: dict[str, Said]) -> None:
    try:
        samples = await driver.receive()
    except ConnectionLost:
        raise
    except DriverError as error:
        troubles[error.device_id or ""] = failed(error)
        return
    for sample in samples:
        heard[sample.device_id].update(sample.readings)


def _is_complete(device: DeviceSettings, readings: Mapping[str, Reading]) -> bool:
    return all(point.id in readings for point in device.points if point.publish)


def _shorten(limit: asyncio.Timeout) -> None:
    """End the wait soon: a device that sends each point by itself sends all of them together."""
    soon_s = asyncio.get_running_loop().time() + BREATH_S
    until_s = limit.when()
    if until_s is None or soon_s < until_s:
        limit.reschedule(soon_s)
