"""Asks the Modbus devices of one connection for their points."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from drivers.decoders.modbus_point import ModbusPointOptions, PointCodec
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from drivers.modbus.plan import Block, plan_blocks, replaced, split
from drivers.modbus.wire import ILLEGAL_DATA_ADDRESS, RequestRefused, Wire, open_wire
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from edge.domain.reading import Reading, Reason, Sample, bad
from edge.domain.settings import ConnectionSettings, DeviceSettings

# So many requests in a row without any answer, from whatever device, and the link itself is doubted and opened anew.
UNANSWERED_MAX = 3

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Device:
    """What is prepared for a device once, and what was learnt about it."""

    options: ModbusDeviceOptions
    points: Mapping[str, ModbusPointOptions]
    codecs: Mapping[str, PointCodec]
    blocks: tuple[Block, ...]


class ModbusDriver:
    """A PolledDriver for one Modbus/TCP host and the units behind it."""

    def __init__(self, connection: ConnectionSettings) -> None:
        assert isinstance(connection.options, ModbusConnectionOptions)
        self._options = connection.options
        self._devices = {device.id: _prepared(device) for device in connection.devices}
        self._wire: Wire | None = None
        self._unanswered = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect for the length of the context. Raises ConnectionLost."""
        async with open_wire(self._options) as wire:
            self._wire = wire
            self._unanswered = 0
            try:
                yield
            finally:
                self._wire = None

    async def poll(self, device_id: str) -> Sample:
        """Read all points of one device.

        The first request without an answer ends the poll: a dead unit costs the others one response time-out.
        """
        device = self._devices[device_id]
        readings: dict[str, Reading] = {}
        troubles: list[Exception] = []
        for block in device.blocks:
            try:
                readings |= await self._read(device_id, block)
            except (RequestRefused, MalformedResponse) as error:
                troubles.append(error)
            except DeviceUnreachable as error:
                troubles.append(error)
                break
        if readings:
            return Sample(device_id=device_id, readings=_completed(device, readings))
        raise self._verdict(device_id, troubles)

    async def _read(self, device_id: str, block: Block) -> Mapping[str, Reading]:
        """Read one block; where the device refuses it for its addresses, read its points one by one from now on."""
        device = self._devices[device_id]
        try:
            return _readings(device, block, await self._ask(device, block))
        except RequestRefused as refusal:
            if refusal.code != ILLEGAL_DATA_ADDRESS or len(block.point_ids) == 1:
                raise
        parts = split(block, device.points)
        device.blocks = replaced(device.blocks, block, parts)
        log.info("modbus_block_split", device_id=device_id, table=block.table, address=block.address, count=block.count)
        readings: dict[str, Reading] = {}
        for part in parts:
            try:
                readings |= _readings(device, part, await self._ask(device, part))
            except RequestRefused:
                continue
        if not readings:
            raise RequestRefused(ILLEGAL_DATA_ADDRESS)
        return readings

    async def _ask(self, device: _Device, block: Block) -> Sequence[int | bool]:
        if self._wire is None:
            raise ConnectionLost("the connection is not open")
        try:
            values = await self._wire.read(
                device.options.address,
                block,
                response_timeout_ms=device.options.response_timeout_ms,
                request_gap_ms=device.options.request_gap_ms,
            )
        except DeviceUnreachable:
            self._unanswered += 1
            raise
        except (RequestRefused, MalformedResponse):
            self._unanswered = 0
            raise
        self._unanswered = 0
        return values

    def _verdict(self, device_id: str, troubles: Sequence[Exception]) -> Exception:
        """Say what a poll without any value means."""
        assert troubles, "a device has at least one point"
        worst = troubles[-1]
        if isinstance(worst, RequestRefused):
            return MalformedResponse(f"{device_id} refused every request, with {worst}")
        if isinstance(worst, DeviceUnreachable) and self._unanswered >= max(UNANSWERED_MAX, len(self._devices)):
            return ConnectionLost(f"no device has answered the last {self._unanswered} requests: {worst}")
        return worst


def _prepared(device: DeviceSettings) -> _Device:
    assert isinstance(device.options, ModbusDeviceOptions)
    points: dict[str, ModbusPointOptions] = {}
    for point in device.points:
        assert isinstance(point.options, ModbusPointOptions)
        points[point.id] = point.options
    return _Device(
        options=device.options,
        points=points,
        codecs={point.id: PointCodec(point) for point in device.points},
        blocks=plan_blocks(points, device.options),
    )


def _readings(device: _Device, block: Block, values: Sequence[int | bool]) -> dict[str, Reading]:
    readings: dict[str, Reading] = {}
    for point_id in block.point_ids:
        point = device.points[point_id]
        start = point.address - block.address
        readings[point_id] = device.codecs[point_id].reading(values[start : start + point.length])
    return readings


def _completed(device: _Device, readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """All points in the profile's order; those that could not be read are bad."""
    return {
        point_id: readings.get(point_id) or bad(Reason.COMM_ERROR, codec.unit)
        for point_id, codec in device.codecs.items()
    }
