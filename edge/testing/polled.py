"""What a driver must do whose devices answer when asked. Public API."""

from contextlib import suppress

from edge.domain.driver import ConnectionLost, DeviceUnreachable, Driver, DriverError, MalformedResponse, PolledDriver
from edge.domain.reading import Quality, Sample
from edge.domain.settings import DeviceSettings
from edge.testing.conformance import (
    RECOVERY_CALLS_MAX,
    TURNS,
    DriverConformance,
    claim,
    ended,
    must,
    must_hold,
    not_shown,
)


class PolledDriverConformance(DriverConformance):
    """The claims about a driver that is polled; `edge.testing.conformance` says how a class inherits them."""

    async def silence(self, device_id: str) -> None:
        """Let a device stop answering; the others of the connection go on."""
        not_shown("silence")

    async def fail_sensor(self, device_id: str) -> None:
        """Let a device answer that its sensor does not work."""
        not_shown("fail_sensor")

    def test_the_kind_is_polled(self) -> None:
        must(self.kind.max_silence_s is None, "max_silence_s of a kind is for devices that speak when they like")

    @claim
    async def test_a_sample_holds_what_the_device_shows(self) -> None:
        driver = self.polled()
        async with driver.open():
            for device in 3 * self.connection().devices:
                sample = await self.sampled(driver, device)
                self.must_be_true(sample)
                qualities = {reading.quality for reading in sample.readings.values()}
                must(Quality.GOOD in qualities, f"{device.id} is well, and not one of its readings is good: {sample}")

    @claim
    async def test_a_silent_device_is_unreachable_and_no_other(self) -> None:
        driver = self.polled()
        first, *others = self.connection().devices
        async with driver.open():
            await self.proved(driver, first)
            await self.silence(first.id)
            for device in others or [first]:
                error = await failure(driver, first)
                must(isinstance(error, DeviceUnreachable), f"a silent device is DeviceUnreachable, not {error!r}")
                if others:
                    await self.proved(driver, device)
            await self.mend()
            await self.proved(driver, first)

    @claim
    async def test_rubbish_gives_no_value(self) -> None:
        driver = self.polled()
        first = self.connection().devices[0]
        await self.babble(first.id)
        for _ in range(3):
            # Whatever of these it is, the remedy is to ask again, if need be on a new transport.
            with suppress(ConnectionLost, DeviceUnreachable, MalformedResponse):
                async with driver.open():
                    _must_be_worthless(await driver.poll(first.id), first)
        await self.mend()
        await self.recovered(driver, first)

    @claim
    async def test_a_failed_sensor_has_no_value(self) -> None:
        driver = self.polled()
        first = self.connection().devices[0]
        await self.fail_sensor(first.id)
        async with driver.open():
            sample = await self.sampled(driver, first)
            qualities = {reading.quality for reading in sample.readings.values()}
            must(Quality.BAD in qualities, f"the sensor does not work, and no reading is bad: {sample}")
            await self.mend()
            await self.proved(driver, first)

    @claim
    async def test_a_transport_that_was_lost_is_opened_again(self) -> None:
        driver = self.polled()
        first = self.connection().devices[0]
        with suppress(ConnectionLost):
            async with driver.open():
                await self.proved(driver, first)
                await self.cut()
                for _ in range(RECOVERY_CALLS_MAX):
                    # A device that cannot be heard through a dead transport is unreachable, until the collector doubts
                    # it.
                    must(not isinstance(await failure(driver, first), MalformedResponse), "nothing was there to answer")
        await self.opened_in_vain(driver)
        await self.mend()
        await self.recovered(driver, first)

    @claim
    async def test_a_cancelled_poll_leaves_the_transport_usable_or_closed(self) -> None:
        driver = self.polled()
        devices = self.connection().devices
        for turns in TURNS:
            with suppress(ConnectionLost):
                async with driver.open():
                    await ended(driver.poll(devices[0].id), "poll", turns=turns)
                    # Another one: an answer that is still owed must not be taken for its own.
                    await self.proved(driver, devices[-1])
        await self.recovered(driver, devices[0])

    def polled(self) -> PolledDriver:
        """Make the driver."""
        driver = self.made()
        assert isinstance(driver, PolledDriver), f"{type(driver).__name__} cannot be polled"
        return driver

    async def sampled(self, driver: Driver, device: DeviceSettings) -> Sample:
        """Poll until the device answers. Raises ConnectionLost."""
        assert isinstance(driver, PolledDriver)
        errors: list[DriverError] = []
        while len(errors) < RECOVERY_CALLS_MAX:
            try:
                sample = await driver.poll(device.id)
            except (DeviceUnreachable, MalformedResponse) as error:
                errors.append(error)
                continue
            must_hold(sample, device)
            return sample
        raise AssertionError(f"{device.id} is well and does not answer: {errors[-1]!r}")


async def failure(driver: PolledDriver, device: DeviceSettings) -> DriverError:
    """Poll a device that cannot answer; return the error. Raises ConnectionLost."""
    try:
        sample = await driver.poll(device.id)
    except ConnectionLost:
        raise
    except DriverError as error:
        return error
    raise AssertionError(f"{device.id} cannot answer, and the driver gave {sample}")


def _must_be_worthless(sample: Sample, device: DeviceSettings) -> None:
    must_hold(sample, device)
    good = [point for point, reading in sample.readings.items() if reading.quality is Quality.GOOD]
    must(not good, f"{device.id} said rubbish, and these are good: {', '.join(good)}")
