"""Answers from nowhere: scripted or random values, and faults on demand."""

import asyncio
import itertools
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from drivers.simulated.options import (
    SimulatedConnectionOptions,
    SimulatedDeviceOptions,
    SimulatedFault,
    SimulatedPointOptions,
)
from edge.domain.driver import ConnectionLost, DeviceUnreachable, Driver, MalformedResponse, ValueRefused
from edge.domain.reading import Reading, Reason, Sample, Value, bad
from edge.domain.settings import ConnectionSettings, DeviceSettings, PointSettings

# What a test may look back on; older acknowledgements are forgotten.
ACCEPTED_MAX = 10_000


def create_driver(connection: ConnectionSettings) -> Driver:
    """Make the driver that the connection's `mode` asks for."""
    assert isinstance(connection.options, SimulatedConnectionOptions)
    if connection.options.mode == "pushed":
        return SimulatedPushedDriver(connection)
    return SimulatedDriver(connection)


class SimulatedDriver:
    """A PolledDriver and WritingDriver whose devices exist only here."""

    def __init__(self, connection: ConnectionSettings) -> None:
        assert isinstance(connection.options, SimulatedConnectionOptions)
        seed = connection.options.seed
        self._devices = {device.id: _Device(device, seed) for device in connection.devices}
        self._is_open = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Pretend to have a transport for the length of the context."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    async def poll(self, device_id: str) -> Sample:
        """Return the next sample of a device, or raise what its faults say."""
        if not self._is_open:
            raise ConnectionLost("the connection is not open")
        device = self._devices[device_id]
        fault = device.next_fault()
        try:
            return await _answer(device, fault)
        except ConnectionLost:
            self._is_open = False
            raise

    async def write(self, device_id: str, point_id: str, value: Value) -> None:
        """Have a point keep a value from now on; a fault that the next poll would meet is met by a write, too."""
        if not self._is_open:
            raise ConnectionLost("the connection is not open")
        device = self._devices[device_id]
        try:
            await _suffer(device, device.coming_fault())
        except ConnectionLost:
            self._is_open = False
            raise
        device.write(point_id, value)


class SimulatedPushedDriver:
    """A PushedDriver whose devices speak in turn. It remembers what was acknowledged."""

    def __init__(self, connection: ConnectionSettings) -> None:
        assert isinstance(connection.options, SimulatedConnectionOptions)
        seed = connection.options.seed
        self._interval_s = connection.options.push_interval_ms / 1000
        self._waiting = deque(_Device(device, seed) for device in connection.devices)
        self._is_open = False
        self.acknowledged: deque[Sample] = deque(maxlen=ACCEPTED_MAX)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Pretend to have a transport for the length of the context."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    async def receive(self) -> Sequence[Sample]:
        """Wait for the next device's turn and return its sample."""
        if not self._is_open:
            raise ConnectionLost("the connection is not open")
        await asyncio.sleep(self._interval_s)
        device = self._waiting[0]
        self._waiting.rotate(-1)
        return [await _answer(device, device.next_fault())]

    def accepted(self, samples: Sequence[Sample]) -> None:
        """Remember what is on disk."""
        self.acknowledged.extend(samples)


async def _answer(device: "_Device", fault: SimulatedFault | None) -> Sample:
    await _suffer(device, fault)
    return device.sample(all_bad=fault is not None and fault.kind == "not_a_number")


async def _suffer(device: "_Device", fault: SimulatedFault | None) -> None:
    match fault.kind if fault else None:
        case "unreachable":
            raise DeviceUnreachable(f"{device.id} is simulated not to answer")
        case "malformed":
            raise MalformedResponse(f"{device.id} is simulated to answer nonsense")
        case "connection_lost":
            raise ConnectionLost(f"{device.id} is simulated to lose the connection")
        case "slow":
            assert fault is not None
            await asyncio.sleep(fault.delay_ms / 1000)
    # Without this, a hundred devices that never wait would keep all other tasks from the loop.
    await asyncio.sleep(0)


class _Device:
    def __init__(self, settings: DeviceSettings, seed: int) -> None:
        assert isinstance(settings.options, SimulatedDeviceOptions)
        self.id = settings.id
        self._faults = settings.options.faults
        self._points = {
            point.id: (point, _values(point, f"{seed}/{settings.id}/{point.id}")) for point in settings.points
        }
        self._polls = 0

    def next_fault(self) -> SimulatedFault | None:
        self._polls += 1
        return next((fault for fault in self._faults if fault.meets(self._polls)), None)

    def coming_fault(self) -> SimulatedFault | None:
        return next((fault for fault in self._faults if fault.meets(self._polls + 1)), None)

    def write(self, point_id: str, value: Value) -> None:
        point, _ = self._points[point_id]
        self._points[point_id] = (point, itertools.repeat(_written(point, value)))

    def sample(self, *, all_bad: bool) -> Sample:
        readings = {point_id: _reading(point, next(values)) for point_id, (point, values) in self._points.items()}
        if all_bad:
            readings = {point_id: bad(Reason.SENSOR_FAULT, point.unit) for point_id, (point, _) in self._points.items()}
        return Sample(device_id=self.id, readings=readings)


def _reading(point: PointSettings, value: Value) -> Reading:
    if isinstance(value, float) and not math.isfinite(value):
        return bad(Reason.SENSOR_FAULT, point.unit)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = point.conversion.apply(value)
    return Reading(value=value, unit=point.unit)


def _written(point: PointSettings, value: Value) -> float:
    """Return what a point holds once a value was written to it, in its own unit. Raises ValueRefused."""
    options = point.options
    assert isinstance(options, SimulatedPointOptions)
    if options.values:
        raise ValueRefused(f"{point.id} follows a script")
    if isinstance(value, bool | str):
        raise ValueRefused(f"{point.id} takes numbers only")
    raw = round(point.conversion.invert(value), options.decimals)
    if not options.low <= raw <= options.high:
        raise ValueRefused(f"{point.id} takes values from {options.low:g} to {options.high:g} only")
    return raw


def _values(point: PointSettings, seed: str) -> Iterator[Value]:
    """Yield a point's values without end. Each point has its own chance: the others do not change it."""
    options = point.options
    assert isinstance(options, SimulatedPointOptions)
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    value = options.start
    while True:
        if options.values:
            yield from options.values
        else:
            yield round(value, options.decimals)
            value = min(options.high, max(options.low, value + chance.uniform(-options.step, options.step)))
