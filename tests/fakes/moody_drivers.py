"""Two drivers that keep every rule, and in each of their moods break one: what the conformance suite is tried on."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edge.domain.by_hand import Given, Undecodable, line_of
from edge.domain.commissioning import Found, Search, Wishes
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    Driver,
    DriverContext,
    DriverError,
    DriverKind,
    MalformedResponse,
    ValueRefused,
)
from edge.domain.reading import Reading, Reason, Sample, Value, bad
from edge.domain.settings import ConnectionSettings, DeviceSettings
from edge.testing.site import connection_from

SITE = """
[[connection]]
id = "bus"
driver = "moody"
[[connection.device]]
id = "warm"
[connection.device.point.air_temperature]
unit = "[degF]"
[[connection.device]]
id = "cold"
[connection.device.point.air_temperature]
unit = "[degF]"
"""
TRUTH: Mapping[str, float] = {"warm": 30.0, "cold": 5.0}
# What the devices take, in their own unit.
FAHRENHEIT_MAX = 120.0
BLOCKING_S = 0.6


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """No options."""


@dataclass
class Bus:
    """The wire and its devices, which say degrees Fahrenheit."""

    mood: str
    is_there: bool = False
    is_cut: bool = False
    is_taken: bool = False
    silent: set[str] = field(default_factory=set)
    babbling: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    # In degrees Fahrenheit.
    values: dict[str, float] = field(
        default_factory=lambda: {name: value * 9 / 5 + 32 for name, value in TRUTH.items()}
    )
    # What was sent and not yet read.
    arrived: deque[tuple[str, str]] = field(default_factory=deque)

    def ask(self, device_id: str) -> None:
        if device_id in self.silent:
            return
        text = f"{self.values[device_id]:.1f}"
        text = "error" if device_id in self.failed else text
        self.arrived.append((device_id, "??" if device_id in self.babbling else text))

    def release(self) -> None:
        self.is_taken = False

    def mend(self) -> None:
        self.is_cut = False
        for troubled in (self.silent, self.babbling, self.failed):
            troubled.clear()


def settings() -> ConnectionSettings:
    return connection_from(SITE, kind=kind_of(Bus(""), PolledOnBus))


class OnBus:
    """What both drivers have."""

    def __init__(self, connection: ConnectionSettings, bus: Bus) -> None:
        if bus.mood == "looks at the bus when it is made" and not bus.is_there:
            raise ConnectionLost("there is no bus")
        self.bus = bus
        self.devices = {device.id: device for device in connection.devices}
        self.last = 0.0
        self.was_opened = False
        self.was_lost = False

    def mood(self, mood: str) -> bool:
        return self.bus.mood == mood

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        bus = self.bus
        if bus.is_cut and self.mood("raises what the system raised"):
            raise FileNotFoundError("/dev/bus")
        self.was_lost |= bus.is_cut
        if bus.is_cut or bus.is_taken or (self.was_lost and self.mood("never comes back")):
            raise ConnectionLost("the bus is away")
        if self.was_opened and self.mood("can be opened once"):
            raise RuntimeError("the pool is shut down")
        bus.is_taken = True
        if self.mood("keeps the port when it is cancelled"):
            await asyncio.sleep(0)
        try:
            await asyncio.sleep(0)
            self.was_opened = True
            yield
        finally:
            if self.mood("closes a moment later"):
                asyncio.get_running_loop().call_later(0.05, bus.release)
            else:
                bus.release()
            if self.mood("does not close"):
                await asyncio.sleep(60)

    def sample(self, device_id: str, text: str) -> Sample:
        device = self.devices[device_id]
        if text == "error" and not self.mood("gives the value of a failed sensor"):
            return Sample(device_id=device_id, readings={"air_temperature": bad(Reason.SENSOR_FAULT, "Cel")})
        try:
            value = float(text)
        except ValueError as error:
            value = self.of_rubbish(error)
        self.last = value
        if not self.mood("forgets the unit"):
            value = device.points[0].conversion.apply(value)
        return self.named(device_id, value)

    def of_rubbish(self, error: ValueError) -> float:
        if self.mood("gives the last value"):
            return self.last
        if self.mood("raises its parser's error"):
            raise error
        if self.mood("gives the value of a failed sensor"):
            return 185.0
        raise MalformedResponse("no number") from error

    def named(self, device_id: str, value: float) -> Sample:
        reading = Reading(value=value, unit="[degF]" if self.mood("names the wrong unit") else "Cel")
        if self.mood("gives texts"):
            reading = Reading(value=str(value), unit="Cel")
        point = "temperature" if self.mood("names points of its own") else "air_temperature"
        return Sample(device_id="bus" if self.mood("names no device") else device_id, readings={point: reading})


class PolledOnBus(OnBus):
    async def poll(self, device_id: str) -> Sample:
        if self.bus.is_cut:
            raise self.lost()
        if not self.mood("takes an owed answer"):
            self.bus.arrived.clear()
        self.bus.ask(device_id)
        if self.mood("blocks"):
            time.sleep(BLOCKING_S)  # noqa: ASYNC251 - the fault itself
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self.mood("swallows its cancellation"):
                await asyncio.sleep(60)
            raise
        if not self.bus.arrived:
            return self.unanswered(device_id)
        return self.sample(device_id, self.bus.arrived.popleft()[1])

    async def write(self, device_id: str, _point_id: str, value: Value) -> None:
        if isinstance(value, bool | str):
            raise ValueRefused("no number")
        way = self.devices[device_id].points[0].conversion
        raw = value if self.mood("forgets the inverse") else way.invert(value)
        if raw > FAHRENHEIT_MAX and self.mood("writes first and then refuses"):
            self.bus.values[device_id] = raw
        if raw > FAHRENHEIT_MAX and not self.mood("takes every value"):
            raise ValueRefused("too hot")
        await asyncio.sleep(0)
        if device_id in self.bus.silent and not self.mood("does not wait for the answer"):
            raise DeviceUnreachable("no answer")
        if self.mood("swallows its cancellation"):
            await self.swallowed()
        if not self.mood("keeps nothing"):
            self.bus.values[device_id] = raw

    @staticmethod
    async def swallowed() -> None:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    def lost(self) -> DriverError:
        if self.mood("takes a lost bus for rubbish"):
            return MalformedResponse("nothing")
        return ConnectionLost("the bus is away")

    def unanswered(self, device_id: str) -> Sample:
        if self.mood("raises a time-out"):
            raise TimeoutError
        if self.mood("gives zero for silence"):
            return self.named(device_id, 0.0)
        if self.mood("gives up the bus for one device"):
            raise ConnectionLost("no answer")
        raise DeviceUnreachable("no answer")


class PushedOnBus(OnBus):
    async def receive(self) -> Sequence[Sample]:
        while not self.bus.arrived:
            if self.bus.is_cut and not self.mood("does not notice the end"):
                raise ConnectionLost("the bus is away")
            await asyncio.sleep(0.001)
        if self.mood("blocks"):
            time.sleep(BLOCKING_S)  # noqa: ASYNC251 - the fault itself
        device_id, text = self.bus.arrived.popleft()
        return [self.sample(device_id, text)]

    def accepted(self, _samples: Sequence[Sample]) -> None:
        if self.mood("acknowledges to a closed bus") and not self.bus.is_taken:
            raise RuntimeError("the socket is closed")


@dataclass(frozen=True)
class Hooks:
    """What the kind of both offers on a first day."""

    bus: Bus

    def decode(self, device: DeviceSettings, given: Given) -> Sequence[Sample]:
        is_strange = self.bus.mood == "decodes what it does not know"
        if given.line is None and not is_strange:
            raise Undecodable("a --line")
        try:
            value = float(line_of(given.line or "0"))
        except ValueError as error:
            raise Undecodable("no number") from error
        reading = Reading(value=value, unit=None if is_strange else "Cel")
        return [Sample(device_id=device.id, readings={"air_temperature": reading})]

    def scan(self, connection: ConnectionSettings, _wishes: Wishes) -> Search:
        async def run(_context: DriverContext) -> AsyncGenerator[Sequence[Found], None]:
            for device in connection.devices:
                name = "hot" if self.bus.mood == "finds a device that is not there" else device.id
                yield [Found(name=device.id, answer="here", device_id=name)]

        steps = 1 if self.bus.mood == "searches longer than it says" else len(connection.devices)
        return Search(rows_are="devices", effort="asked", steps=steps, run=run)

    def cautions(self, _connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
        yield "hot" if self.bus.mood == "warns of a device that is not there" else "warm", "is warm"


def kind_of(bus: Bus, driver: type[PolledOnBus | PushedOnBus]) -> DriverKind:
    """Make the kind of one of the two drivers on this bus."""

    def create(connection: ConnectionSettings, _context: DriverContext) -> Driver:
        return driver(connection, bus)

    hooks = Hooks(bus)
    return DriverKind(
        name="moody",
        title="A bus",
        connection_options=Nothing,
        device_options=Nothing,
        point_options=Nothing,
        create=create,
        scan=hooks.scan,
        decode=hooks.decode,
        cautions=hooks.cautions,
        max_silence_s=60.0 if (driver is PushedOnBus) != (bus.mood == "is taken for the other kind") else None,
        api=2 if bus.mood == "is for another gateway" else 1,
    )
