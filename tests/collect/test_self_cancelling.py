"""A driver that cancels the task that called it, as a library's own time-out may: the collector goes on."""

import asyncio
from collections.abc import Sequence

import pytest

from edge.domain.driver import DeviceUnreachable
from edge.domain.event import EventType
from edge.domain.reading import Sample
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import FakeOutbox, connection, device
from fakes.scripted_driver import ScriptedPolledDriver, ScriptedPushedDriver, good


async def timed_out(*, is_told: bool) -> None:
    """End a wait as a library does that was written before Python 3.11: nothing takes the cancellation back."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.1, task.cancel)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        if is_told:
            raise DeviceUnreachable("no answer") from None
        raise


class SelfCancellingPolled(ScriptedPolledDriver):
    """Its first two polls meet a time-out."""

    def __init__(self, *, is_told: bool) -> None:
        super().__init__()
        self.is_told = is_told
        self.tries = 0

    async def poll(self, device_id: str) -> Sample:
        self.tries += 1
        if self.tries <= 2:
            await timed_out(is_told=self.is_told)
        return await super().poll(device_id)


class SelfCancellingPushed(ScriptedPushedDriver):
    """Its first two calls of `receive` meet a time-out, the third gives a sample."""

    def __init__(self, *, is_told: bool) -> None:
        super().__init__()
        self.is_told = is_told
        self.tries = 0

    async def receive(self) -> Sequence[Sample]:
        self.tries += 1
        if self.tries <= 2:
            await timed_out(is_told=self.is_told)
        if self.tries == 3:
            return [Sample(device_id="a", readings={"air_temperature": good()})]
        return await super().receive()


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("kind", [SelfCancellingPolled, SelfCancellingPushed])
def test_a_driver_that_cancels_its_own_caller_is_opened_anew(
    kind: type[SelfCancellingPolled] | type[SelfCancellingPushed], *, is_told: bool
) -> None:
    driver = kind(is_told=is_told)
    line = connection(device("a", is_polled=kind is SelfCancellingPolled, max_silence_s=1e6))
    work = collect((line, driver), story=for_seconds(60))
    assert work.outbox.samples("a")
    assert driver.opened == 3
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    assert work.outbox.of(EventType.ALARM_RAISED)[0].data["message"] == "the driver cancelled the task that called it"


class LateCancelling(ScriptedPushedDriver):
    """Its first call of `receive` leaves a time-out behind, which ends while its samples wait for room."""

    async def receive(self) -> Sequence[Sample]:
        received = await super().receive()
        task = asyncio.current_task()
        assert task is not None
        if self.opened == 1:
            asyncio.get_running_loop().call_later(0.5, task.cancel)
        return received


def test_what_a_late_cancellation_interrupts_holds_up_neither_acknowledgements_nor_the_watch_for_silence() -> None:
    driver, outbox = LateCancelling(), FakeOutbox(room=2)
    outbox.is_stuck = True

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait(
            [Sample(device_id="a", readings={"air_temperature": good(value)}) for value in (1, 2)]
        )
        await asyncio.sleep(5)
        outbox.is_stuck, outbox.room = False, 1000
        await asyncio.sleep(5)
        driver.arrivals.put_nowait([Sample(device_id="a", readings={"air_temperature": good(3)})])
        await asyncio.sleep(100)

    line = connection(device("a", is_polled=False, max_silence_s=60.0))
    work = collect((line, driver), outbox=outbox, story=story)
    assert driver.opened == 2
    assert driver.acknowledged[-1].readings["air_temperature"].value == 3
    assert len(work.outbox.of(EventType.DEVICE_CONNECTION_LOST)) == 1
