"""What a driver must do whose devices speak when they like. Public API."""

import asyncio
from contextlib import suppress

from edge.domain.driver import ConnectionLost, DeviceUnreachable, Driver, MalformedResponse, PushedDriver
from edge.domain.reading import Sample
from edge.domain.settings import DeviceSettings
from edge.testing.conformance import (
    TURNS,
    DriverConformance,
    claim,
    ended,
    must,
    must_hold,
    not_shown,
)


class PushedDriverConformance(DriverConformance):
    """The claims about a driver that listens; `edge.testing.conformance` says how a class inherits them."""

    async def speak(self, device_id: str) -> None:
        """Let a device say its values once."""
        not_shown("speak")

    def test_the_kind_says_after_which_silence_a_device_is_lost(self) -> None:
        must(self.kind.max_silence_s is not None, "without max_silence_s, devices of this kind count as polled")

    @claim
    async def test_what_a_device_says_is_received(self) -> None:
        driver = self.pushed()
        async with driver.open():
            for device in 3 * self.connection().devices:
                await self.proved(driver, device)

    @claim
    async def test_samples_may_be_accepted_after_closing(self) -> None:
        driver = self.pushed()
        first = self.connection().devices[0]
        async with driver.open():
            await self.speak(first.id)
            sample = await _heard(driver, first, is_accepted=False)
        driver.accepted([sample])
        async with driver.open():
            await self.proved(driver, first)

    @claim
    async def test_a_cancelled_receive_can_be_called_again(self) -> None:
        driver = self.pushed()
        first = self.connection().devices[0]
        for turns in TURNS:
            with suppress(ConnectionLost):
                async with driver.open():
                    await ended(_received(driver), "receive", turns=turns)
                    await self.proved(driver, first)
        await self.recovered(driver, first)

    @claim
    async def test_rubbish_gives_no_value_and_ends_nothing(self) -> None:
        driver = self.pushed()
        first, *_, last = 2 * self.connection().devices
        async with driver.open():
            for device in (first, last):
                await self.babble(first.id)
                await self.proved(driver, device)

    @claim
    async def test_a_transport_that_was_lost_is_opened_again(self) -> None:
        driver = self.pushed()
        first = self.connection().devices[0]
        async with driver.open():
            await self.proved(driver, first)
            await self.cut()
            is_noticed = await _is_lost(driver, self.patience_s / 2)
            must(is_noticed, "the transport is gone, and `receive` waits on")
        await self.opened_in_vain(driver)
        await self.mend()
        await self.recovered(driver, first)

    def pushed(self) -> PushedDriver:
        """Make the driver."""
        driver = self.made()
        assert isinstance(driver, PushedDriver), f"{type(driver).__name__} cannot receive"
        return driver

    async def sampled(self, driver: Driver, device: DeviceSettings) -> Sample:
        """Let a device speak and hear it. Raises ConnectionLost."""
        assert isinstance(driver, PushedDriver)
        await self.speak(device.id)
        return await _heard(driver, device)


async def _received(driver: PushedDriver) -> None:
    driver.accepted(await driver.receive())


async def _heard(driver: PushedDriver, device: DeviceSettings, *, is_accepted: bool = True) -> Sample:
    """Receive until there is a sample of a device. Raises ConnectionLost."""
    while True:
        try:
            samples = list(await driver.receive())
        except (DeviceUnreachable, MalformedResponse):
            continue
        if is_accepted:
            driver.accepted(samples)
        for sample in samples:
            if sample.device_id == device.id:
                must_hold(sample, device)
                return sample


async def _is_lost(driver: PushedDriver, patience_s: float) -> bool:
    """Whether receiving finds the transport lost within some seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while not await _finds_loss(driver):
                pass
            return True
    return False


async def _finds_loss(driver: PushedDriver) -> bool:
    try:
        await driver.receive()
    except ConnectionLost:
        return True
    except (DeviceUnreachable, MalformedResponse):
        pass
    return False
