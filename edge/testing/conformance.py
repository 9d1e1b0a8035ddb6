"""What every driver must do, as tests that a class of one's own inherits: the part that all drivers share. Public API.

    class TestThermometers(PolledDriverConformance):
        kind = KIND

        def connection(self) -> ConnectionSettings:
            return connection_from(SITE, kind=KIND)

What the devices do (answer, fall silent, talk rubbish) the class says with its other methods. A test that needs one
which is not there is skipped, and says which. pytest finds the tests by itself, without a plugin and without a loop.
`edge.testing.polled`, `edge.testing.writing` and `edge.testing.pushed` have the classes.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import wraps
from itertools import product
from typing import ClassVar, NoReturn, TypeVar
from unittest import SkipTest

from drivers import usable
from edge.domain.by_hand import Given, Undecodable
from edge.domain.commissioning import Wishes
from edge.domain.driver import (
    ConnectionLost,
    Driver,
    DriverContext,
    DriverError,
    DriverKind,
    PolledDriver,
    PushedDriver,
)
from edge.domain.quantity import Conversion
from edge.domain.reading import Quality, Reading, Sample, Value
from edge.domain.settings import ConnectionSettings, DeviceSettings, PointSettings, ValueType
from edge.settings.schema import profile_schema, site_schema

# What the gateway leaves a driver to end its call and to close when it stops.
ENDING_S = 2.0
# After a disturbance a line may be kept quiet, and an answer that is owed may cost a poll or two.
RECOVERY_CALLS_MAX = 10
# Between two tries to open a transport that is just coming back.
REOPEN_S = 0.05
# In the loop all connections take turns: each waits for the one that does not give way.
BLOCKING_S_MAX = 0.5
# A call is cancelled after so many turns of the loop.
TURNS = (0, 1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 256, 512, 1024)
# A search of the first units of a bus, or that listens for a moment.
_BRIEFLY = Wishes(units=(1, 2), timeout_ms=200, seconds=0.5)
_PYTHON_TYPES = {ValueType.NUMBER: (float, int), ValueType.BOOLEAN: (bool,), ValueType.TEXT: (str,)}
_OTHER_UNIT = Conversion(factor=2.0, offset=1.0)

Conforming = TypeVar("Conforming", bound="DriverConformance")


def claim(proof: Callable[[Conforming], Coroutine[None, None, None]]) -> Callable[[Conforming], None]:
    """Make a test of a proof: in a loop of its own, among the devices, and bounded in time."""

    @wraps(proof)
    def test(self: Conforming) -> None:
        # With a factory, the runner leaves the thread's own event loop as it is.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(_among_devices(self, proof(self)))

    return test


async def _among_devices(subject: "DriverConformance", proof: Coroutine[None, None, None]) -> None:
    patience = asyncio.timeout(subject.patience_s)
    try:
        async with patience, subject.devices():
            await proof
    except TimeoutError as error:
        sentence = f"not done after {subject.patience_s:g} s: the driver waits without an end"
        raise AssertionError(sentence if patience.expired() else "the driver raised TimeoutError") from error
    finally:
        proof.close()


def must(is_so: bool, sentence: str) -> None:
    """Fail with a sentence unless something is so."""
    if not is_so:
        raise AssertionError(sentence)


def must_hold(sample: object, device: DeviceSettings) -> None:
    """Fail unless a sample is what a driver may give of this device."""
    must(isinstance(sample, Sample), f"the driver gave {type(sample).__name__}, not a Sample")
    assert isinstance(sample, Sample)
    sample.check()
    must(sample.device_id == device.id, f"{device.id!r} was asked, the sample is of {sample.device_id!r}")
    for point_id, reading in sample.readings.items():
        point = device.point(point_id)
        if point is None:
            raise AssertionError(f"{device.id!r} has no point {point_id!r}")
        _must_fit(reading, point)


def _must_fit(reading: Reading, point: PointSettings) -> None:
    must(reading.unit == point.unit, f"{point.id} is in {reading.unit!r}; its point has the unit {point.unit!r}")
    types = _PYTHON_TYPES[point.type]
    is_fit = reading.value is None or type(reading.value) in types
    must(is_fit, f"{point.id} is {reading.value!r}; its point is a {point.type.value}")


class DriverConformance:
    """The claims about every driver."""

    kind: ClassVar[DriverKind]
    # Of one test; a slow device needs more.
    patience_s: ClassVar[float] = 60.0

    def connection(self) -> ConnectionSettings:
        """Return a connection without mistakes: best with two devices. Made anew for each test."""
        raise NotImplementedError("say with `connection` what the driver is made from")

    def context(self) -> DriverContext:
        """Return what the driver may know of the gateway."""
        return DriverContext()

    @asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        """Let the devices, or what stands for them, be there for the length of the context."""
        yield

    def truth(self, device_id: str) -> Mapping[str, Value]:
        """Return what the points of a device show, in their canonical units; each device best shows something else."""
        not_shown("truth")

    async def babble(self, device_id: str) -> None:
        """Let a device talk rubbish from now on (a pushing one: once)."""
        not_shown("babble")

    async def cut(self) -> None:
        """Take the whole transport away: unplug the adapter, end the server."""
        not_shown("cut")

    async def mend(self) -> None:
        """Undo what was done to the devices and the transport."""

    async def sampled(self, driver: Driver, device: DeviceSettings) -> Sample:
        """Have a device give a sample. Raises ConnectionLost."""
        raise NotImplementedError("take the class for polled or for pushed drivers, not the one below both")

    async def proved(self, driver: Driver, device: DeviceSettings) -> None:
        """Have a device give a sample, and look that it says what the device shows. Raises ConnectionLost."""
        self.must_be_true(await self.sampled(driver, device))

    def test_the_registry_takes_the_kind(self) -> None:
        usable(self.kind.name, self.kind)

    def test_the_options_have_a_schema_for_editors(self) -> None:
        kinds = {self.kind.name: self.kind}
        json.dumps([site_schema(kinds), profile_schema(kinds)])

    def test_a_driver_is_made_without_its_devices(self) -> None:
        self.made()

    def test_what_is_said_of_a_connection_names_its_devices(self) -> None:
        connection = self.connection()
        known = {"", *(device.id for device in connection.devices), *(group.id for group in connection.groups)}
        mistakes, cautions = list(self.kind.mistakes(connection)), list(self.kind.cautions(connection))
        must(not mistakes, f"the connection has mistakes: {mistakes}")
        strange = [said for said in cautions if said[0] not in known or not isinstance(said[1], str)]
        must(not strange, f"these are no pairs of a device's id and a sentence: {strange}")

    def test_what_cannot_be_decoded_is_refused(self) -> None:
        rubbish = [Given(frame="00"), Given(line="\x00?"), Given(payload=b"\xff", topic="x"), Given(registers="65535")]
        for device, given in product(self.connection().devices, rubbish):
            with suppress(Undecodable):
                for sample in () if self.kind.decode is None else self.kind.decode(device, given):
                    must_hold(sample, device)

    @claim
    async def test_a_search_takes_no_more_steps_than_it_says(self) -> None:
        if self.kind.scan is None:
            return
        connection = self.connection()
        known = {"", *(device.id for device in connection.devices)}
        search = self.kind.scan(connection, _BRIEFLY)
        steps = [list(rows) async for rows in search.run(self.context())]
        must(len(steps) <= search.steps, f"the search has {search.steps} steps, and yields {len(steps)} times")
        strange = [row.device_id for rows in steps for row in rows if row.device_id not in known]
        must(not strange, f"the search names devices that are not there: {strange}")

    @claim
    async def test_a_transport_that_is_away_is_a_lost_connection(self) -> None:
        await self.cut()
        await self.opened_in_vain(self.made())

    @claim
    async def test_what_is_closed_is_free_to_be_opened(self) -> None:
        driver = self.made()
        for _ in range(3):
            await _opened_and_closed(driver)

    @claim
    async def test_a_cancelled_opening_can_be_tried_again(self) -> None:
        driver = self.made()
        for turns in TURNS:
            await ended(_opened_and_closed(driver), "opening", turns=turns)
        await _opened_and_closed(driver)

    @claim
    async def test_a_driver_is_opened_again_and_again(self) -> None:
        driver = self.made()
        for device in 3 * self.connection().devices:
            async with driver.open():
                await self.proved(driver, device)

    @claim
    async def test_values_are_converted_into_the_canonical_unit(self) -> None:
        connection = self.in_another_unit()
        driver = self.made(connection)
        async with driver.open():
            for device in connection.devices:
                self.must_be_converted(await self.sampled(driver, device), device)

    @claim
    async def test_a_driver_leaves_the_loop_to_others(self) -> None:
        driver = self.made()
        first = self.connection().devices[0]
        async with driver.open():
            # A busy machine may hold up one of three samples, a driver that blocks holds up each.
            gaps_s = [await longest_gap_s(self.sampled(driver, first)) for _ in range(3)]
        sentence = f"each sample keeps the loop from all other connections for {min(gaps_s):.2f} s"
        must(min(gaps_s) < BLOCKING_S_MAX, sentence)

    def made(self, connection: ConnectionSettings | None = None) -> Driver:
        """Make the driver, and look that it is one."""
        driver = self.kind.create(connection or self.connection(), self.context())
        must(isinstance(driver, PolledDriver | PushedDriver), f"{type(driver).__name__} is no driver")
        return driver

    async def recovered(self, driver: Driver, device: DeviceSettings) -> None:
        """Open the transport, again if need be, until the device gives a sample."""
        for _ in range(RECOVERY_CALLS_MAX):
            with suppress(ConnectionLost):
                async with driver.open():
                    await self.proved(driver, device)
                    return
            await asyncio.sleep(REOPEN_S)
        raise AssertionError(f"{device.id} is well again, and the driver does not reach it")

    async def opened_in_vain(self, driver: Driver) -> None:
        """Open a transport that is away, as the collector does again and again; not every driver notices here."""
        for _ in range(3):
            with suppress(ConnectionLost):
                await _opened_and_closed(driver)

    def in_another_unit(self) -> ConnectionSettings:
        """Return the connection with profiles that give each value in another unit."""
        connection = self.connection()
        devices = (replace(device, points=tuple(map(_in_another_unit, device.points))) for device in connection.devices)
        return replace(connection, devices=tuple(devices))

    def must_be_converted(self, sample: Sample, device: DeviceSettings) -> None:
        """Fail if a number of a sample did not go through its point's conversion, which is not the usual one."""
        for point_id, shown in self.truth(device.id).items():
            point, reading = device.point(point_id), sample.readings.get(point_id)
            if point is None or reading is None or reading.quality is not Quality.GOOD:
                continue
            if point.type is ValueType.NUMBER and not isinstance(reading.value, str | None):
                expected = _OTHER_UNIT.apply(float(shown))
                sentence = f"{point_id} is {reading.value!r}; with its point's conversion it is {expected!r}"
                must(math.isclose(reading.value, expected, rel_tol=1e-6), sentence)

    def must_be_true(self, sample: Sample) -> None:
        """Fail if a sample holds a good value that the device does not show."""
        try:
            truth = self.truth(sample.device_id)
        except SkipTest:
            return
        for point_id, reading in sample.readings.items():
            if reading.quality is not Quality.GOOD or point_id not in truth:
                continue
            sentence = f"{sample.device_id} shows {point_id} = {truth[point_id]!r}, the driver says {reading.value!r}"
            must(is_same(reading.value, truth[point_id]), sentence)


def not_shown(what: str) -> NoReturn:
    """Skip the test: a method is missing with which the class would show what it is about."""
    raise SkipTest(f"`{what}` is not there to show this with")


def is_same(value: Value | None, other: Value) -> bool:
    """Whether two values are equal, numbers up to the error of their calculation."""
    if isinstance(value, float) or isinstance(other, float):
        return (
            isinstance(value, float | int)
            and isinstance(other, float | int)
            and math.isclose(value, other, abs_tol=1e-9)
        )
    return value == other


def _in_another_unit(point: PointSettings) -> PointSettings:
    """Return a point whose values have twice the number, and one more, in the canonical unit."""
    usual = point.conversion
    other = Conversion(factor=_OTHER_UNIT.factor * usual.factor, offset=_OTHER_UNIT.apply(usual.offset))
    return replace(point, conversion=other)


async def _opened_and_closed(driver: Driver) -> None:
    transport = driver.open()
    await transport.__aenter__()
    try:
        async with asyncio.timeout(ENDING_S):
            await transport.__aexit__(None, None, None)
    except TimeoutError as error:
        raise AssertionError(f"closing takes more than {ENDING_S:g} s") from error


async def ended(work: Coroutine[None, None, object], what: str, *, turns: int) -> None:
    """Cancel a driver's call after some turns of the loop; fail unless it ends as a driver's call may."""
    call = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call], timeout=ENDING_S)
    must(call.done(), f"{what} was cancelled and has not ended after {ENDING_S:g} s")
    error = None if call.cancelled() else call.exception()
    must(error is None or isinstance(error, DriverError), f"{what} was cancelled and raised {error!r}")


async def longest_gap_s(call: Awaitable[object]) -> float:
    """Await a call; return the longest time for which it kept the loop from everything else."""
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            began_s = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - began_s)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    try:
        await call
        # A call that never waits has let nothing be seen until here.
        await asyncio.sleep(0)
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
    return longest
