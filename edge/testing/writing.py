"""What a driver must do, besides, whose devices can be told a value. Public API."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    Driver,
    MalformedResponse,
    PolledDriver,
    ValueRefused,
    WritingDriver,
)
from edge.domain.reading import Value
from edge.domain.settings import DeviceSettings
from edge.testing.conformance import TURNS, claim, ended, is_same, must, not_shown
from edge.testing.polled import PolledDriverConformance


@dataclass(frozen=True, kw_only=True)
class Writable:
    """A point that can be written, with what its device takes and what it does not, in the canonical unit."""

    device_id: str
    point_id: str
    # At least two that differ.
    taken: Sequence[Value]
    refused: Sequence[Value] = ()


class WritingDriverConformance(PolledDriverConformance):
    """The claims about a polled driver that also writes; `edge.testing.conformance` says how a class inherits them."""

    def writable(self) -> Writable:
        """Return a point that can be written. `truth` says nothing of it."""
        not_shown("writable")

    @claim
    async def test_a_written_value_is_read_back(self) -> None:
        point = self.writable()
        driver = self.made()
        async with driver.open():
            # Twice the same: a value is a state.
            for value in (*point.taken, point.taken[-1]):
                await _write(driver, point, value)
                await _must_show(driver, point, value)

    @claim
    async def test_a_value_is_written_through_the_inverse_of_its_conversion(self) -> None:
        point = self.writable()
        driver = self.made(self.in_another_unit())
        async with driver.open():
            for value in point.taken:
                await _write(driver, point, value)
                await _must_show(driver, point, value)

    @claim
    async def test_a_refused_value_changes_nothing(self) -> None:
        point = self.writable()
        driver = self.made()
        async with driver.open():
            await _write(driver, point, point.taken[0])
            for value in point.refused:
                must(await _is_refused(driver, point, value), f"{point.point_id} was to refuse {value!r}")
                await _must_show(driver, point, point.taken[0])

    @claim
    async def test_writing_to_a_silent_device_is_no_success(self) -> None:
        point = self.writable()
        driver = self.made()
        async with driver.open():
            await self.silence(point.device_id)
            try:
                await _write(driver, point, point.taken[0])
            except (DeviceUnreachable, MalformedResponse):
                pass
            else:
                raise AssertionError(f"{point.device_id} is silent, and the value counts as written")
            await self.mend()
            await self.proved(driver, self._device(point))
            await _write(driver, point, point.taken[1])
            await _must_show(driver, point, point.taken[1])

    @claim
    async def test_a_cancelled_write_leaves_the_transport_usable_or_closed(self) -> None:
        point = self.writable()
        driver = self.made()
        for turns in TURNS:
            with suppress(ConnectionLost):
                async with driver.open():
                    await ended(_write(driver, point, point.taken[turns % 2]), "write", turns=turns)
                    # Another one, if there is one: an answer that is still owed must not be taken for its own.
                    await self.proved(driver, self.connection().devices[-1])
        await self.recovered(driver, self._device(point))

    def _device(self, point: Writable) -> DeviceSettings:
        return next(device for device in self.connection().devices if device.id == point.device_id)


async def _write(driver: Driver, point: Writable, value: Value) -> None:
    assert isinstance(driver, WritingDriver), f"{type(driver).__name__} cannot write"
    await driver.write(point.device_id, point.point_id, value)


async def _is_refused(driver: Driver, point: Writable, value: Value) -> bool:
    try:
        await _write(driver, point, value)
    except ValueRefused:
        return True
    return False


async def _must_show(driver: Driver, point: Writable, value: Value) -> None:
    assert isinstance(driver, PolledDriver)
    reading = (await driver.poll(point.device_id)).readings[point.point_id]
    shown = reading.value
    must(is_same(shown, value), f"{value!r} was written to {point.point_id}, and it shows {shown!r}")
