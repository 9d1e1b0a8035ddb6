"""A driver's call that does not return: told, never cancelled, and told again when it returns."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog

from edge.collect.connection import ConnectionState, Outcomes
from edge.collect.guard import DriverFault
from edge.collect.stall import CUT_OFF_S, ENDING_S, CallWatch, opened
from edge.collect.status import Condition, StalledCall
from edge.domain.driver import ConnectionLost, DeviceUnreachable
from edge.domain.event import EventType
from edge.domain.reading import Sample
from fakes.collect_run import Work, collect
from fakes.collect_site import FakeOutbox, author, connection, device
from fakes.scripted_driver import ScriptedPolledDriver, ScriptedPushedDriver
from fakes.virtual_time import VirtualClock

RAISED = EventType.ALARM_RAISED
CLEARED = EventType.ALARM_CLEARED


class Hanging(ScriptedPolledDriver):
    """Its device `a` answers its second poll, and `open` and `close` return, when a test says so."""

    def __init__(self, **hangs: bool) -> None:
        super().__init__()
        self.hangs = hangs
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None

    async def _hang(self, name: str) -> None:
        if not self.hangs.pop(name, False):
            return
        try:
            await self.goes_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        await self._hang("open")
        async with super().open():
            try:
                yield
            finally:
                await self._hang("close")

    async def poll(self, device_id: str) -> Sample:
        if device_id == "a" and self.polls:
            await self._hang("poll")
        return await super().poll(device_id)


def stalled_in(work: Work) -> StalledCall | None:
    return work.fleet.status().connections[0].stalled


@pytest.mark.parametrize(("interval_s", "limit_s"), [(1.0, 30.0), (10.0, 30.0), (20.0, 60.0)])
def test_a_poll_that_does_not_return_is_told_after_three_intervals_or_half_a_minute(
    interval_s: float, limit_s: float
) -> None:
    driver = Hanging(poll=True)
    # The first poll of `b` is half an interval after the first of `a`.
    line = connection(device("a", poll_interval_s=interval_s), device("b", poll_interval_s=600.0))

    async def story(work: Work) -> None:
        await asyncio.sleep(interval_s + limit_s - 0.5)
        assert stalled_in(work) is None
        assert work.outbox.control_types() == []
        await asyncio.sleep(1.5)
        assert stalled_in(work) == StalledCall(call="poll", device_id="a", for_s=limit_s + 1.0)
        assert [status.condition for status in work.fleet.status().devices] == [Condition.STALLED] * 2
        assert {item.stalled_since_s for item in work.fleet.progress()} == {interval_s}
        (raised,) = work.outbox.of(RAISED)
        assert (raised.data["alarm"], raised.data["deviceId"]) == ("driver_stalled", "a")
        assert raised.data["connectionId"] == "line-a"
        assert raised.data["message"] == f"the driver's poll has not returned for {limit_s:g} s"
        await asyncio.sleep(4000)
        assert len(work.outbox.of(RAISED)) == 1
        assert driver.cancelled == 0
        driver.goes_on.set()
        await asyncio.sleep(1)
        assert stalled_in(work) is None
        (cleared,) = work.outbox.of(CLEARED)
        identity = ("alarm", "deviceId", "connectionId")
        assert [cleared.data[key] for key in identity] == [raised.data[key] for key in identity]
        await asyncio.sleep(100)
        assert work.fleet.status().devices[0].condition is Condition.ANSWERING
        assert {item.stalled_since_s for item in work.fleet.progress()} == {None}
        assert driver.cancelled == 0

    work = collect((line, driver), story=story)
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]


def test_the_fastest_device_of_a_line_says_how_long_it_may_be_kept_waiting() -> None:
    driver = Hanging(poll=True)
    line = connection(device("b"), device("a", poll_interval_s=600.0))

    async def story(work: Work) -> None:
        await asyncio.sleep(45.0)
        assert stalled_in(work) is not None

    collect((line, driver), story=story)


@pytest.mark.parametrize("name", ["open", "close"])
def test_an_opening_or_closing_that_does_not_return_is_told_of_its_connection(name: str) -> None:
    driver = Hanging(**{name: True})
    if name == "close":
        driver.answers["a"] = lambda: ConnectionLost("cable")

    async def story(work: Work) -> None:
        await asyncio.sleep(32)
        told = stalled_in(work)
        assert told is not None
        assert (told.call, told.device_id) == (name, None)
        (raised,) = work.outbox.of(RAISED)
        assert raised.data["connectionId"] == "line-a"
        assert "deviceId" not in raised.data
        driver.answers.clear()
        driver.goes_on.set()
        await asyncio.sleep(60)
        assert work.fleet.status().devices[0].condition is Condition.ANSWERING
        assert driver.cancelled == 0

    work = collect((connection(device("a")), driver), story=story)
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]


def test_a_receiving_driver_is_watched_while_it_opens_and_never_while_it_listens() -> None:
    class SlowToOpen(ScriptedPushedDriver):
        @asynccontextmanager
        async def open(self) -> AsyncIterator[None]:
            await asyncio.sleep(90)
            async with super().open():
                yield

    line = connection(device("a", is_polled=False, poll_interval_s=600.0, max_silence_s=1e6), connection_id="broker")
    work = collect((line, SlowToOpen()), story=lambda _: asyncio.sleep(36_000))
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    raised, cleared = work.outbox.events
    assert (raised.data["occurredAt"][11:19], cleared.data["occurredAt"][11:19]) == ("10:00:30", "10:01:30")


@pytest.mark.parametrize("error", [DeviceUnreachable("late"), ConnectionLost("cable"), KeyError("bug")])
def test_a_call_has_returned_when_it_raises(error: Exception) -> None:
    driver = Hanging(poll=True)
    driver.error = error

    async def story(work: Work) -> None:
        await asyncio.sleep(60)
        driver.goes_on.set()
        await asyncio.sleep(1)
        assert stalled_in(work) is None
        assert [event.data["alarm"] for event in work.outbox.of(CLEARED)] == ["driver_stalled"]

    collect((connection(device("a")), driver), story=story)


def test_a_call_that_hangs_at_the_stop_is_cancelled_and_not_said_to_have_returned() -> None:
    driver = Hanging(poll=True)
    work = collect((connection(device("a")), driver), story=lambda _: asyncio.sleep(60))
    assert work.outbox.control_types() == ["AlarmRaised"]
    assert driver.cancelled == 1


class SlowToEnd(ScriptedPolledDriver):
    """Its calls hang when they are cancelled, and its closing hangs."""

    def __init__(self, *hangs: str) -> None:
        super().__init__()
        self.hangs = hangs

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        await self._maybe("open")
        async with super().open():
            try:
                yield
            finally:
                if "close" in self.hangs:
                    await asyncio.sleep(3600)

    async def poll(self, device_id: str) -> Sample:
        await self._maybe("poll")
        return await super().poll(device_id)

    async def _maybe(self, name: str) -> None:
        try:
            await asyncio.sleep(3600 if name in self.hangs else 0)
        finally:
            if name in self.hangs:
                await asyncio.sleep(3600)


@pytest.mark.parametrize("hangs", [("close",), ("poll",), ("open",), ("poll", "close")])
def test_a_driver_that_is_slow_to_end_holds_up_the_stop_for_a_moment_only(hangs: tuple[str, ...]) -> None:
    driver = SlowToEnd(*hangs)
    times = []

    async def story(_: Work) -> None:
        await asyncio.sleep(65)
        times.append(asyncio.get_running_loop().time())

    work = collect((connection(device("a")), driver), story=story)
    assert driver.opened == driver.closed
    assert work.clock.monotonic_s() - times[0] == pytest.approx(ENDING_S + CUT_OFF_S * (len(hangs) - 1))


def test_calls_that_return_in_time_are_never_told_however_many_there_are() -> None:
    # Each takes nearly as long as it may; together they take hours.
    driver = ScriptedPolledDriver(answer_s=29.9)
    with structlog.testing.capture_logs() as logs:
        work = collect((connection(device("a"), device("b")), driver), story=lambda _: asyncio.sleep(7200))
    assert work.outbox.control_types() == []
    assert not [entry for entry in logs if entry["event"].startswith("driver_")]


def test_no_other_connection_waits_for_a_call_that_does_not_return() -> None:
    well = ScriptedPolledDriver()
    collect(
        (connection(device("a")), Hanging(poll=True)),
        (connection(device("well"), connection_id="line-b"), well),
        story=lambda _: asyncio.sleep(300.5),
    )
    assert len(well.poll_times("well")) == 301


def test_what_the_full_outbox_refused_is_offered_again_while_the_owner_waits_for_its_driver() -> None:
    driver = Hanging(poll=True)
    outbox = FakeOutbox(room=0)

    async def story(work: Work) -> None:
        await asyncio.sleep(40)
        outbox.room = 100
        await asyncio.sleep(2)
        assert len(work.outbox.of(RAISED)) == 1

    collect((connection(device("a")), driver), outbox=outbox, story=story)


def test_a_new_interval_holds_for_the_call_under_way() -> None:
    driver = Hanging(poll=True)

    async def story(work: Work) -> None:
        await asyncio.sleep(20)
        work.fleet.configure(replace(work.fleet.configuration("a"), poll_interval_s=60.0))
        await asyncio.sleep(150)
        assert stalled_in(work) is None
        await asyncio.sleep(20)
        assert stalled_in(work) is not None

    collect((connection(device("a")), driver), story=story)


def test_a_shorter_interval_holds_for_the_next_call() -> None:
    driver = Hanging(poll=True)

    async def story(work: Work) -> None:
        await asyncio.sleep(1)
        work.fleet.configure(replace(work.fleet.configuration("a"), poll_interval_s=1.0))
        await asyncio.sleep(40)
        assert stalled_in(work) is not None

    collect((connection(device("a", poll_interval_s=100.0)), driver), story=story)


def test_a_disabled_device_is_kept_waiting_by_nothing() -> None:
    driver = Hanging(poll=True)

    async def story(work: Work) -> None:
        work.fleet.configure(replace(work.fleet.configuration("b"), enabled=False))
        await asyncio.sleep(100 + 290)
        assert stalled_in(work) is None
        await asyncio.sleep(20)
        assert stalled_in(work) is not None

    collect((connection(device("a", poll_interval_s=100.0), device("b")), driver), story=story)


def test_a_call_that_does_not_return_is_one_log_line_and_its_return_another() -> None:
    driver = Hanging(poll=True)

    async def story(_: Work) -> None:
        await asyncio.sleep(600)
        driver.goes_on.set()
        await asyncio.sleep(1)

    with structlog.testing.capture_logs() as logs:
        collect((connection(device("a")), driver), story=story)
    told = [(entry["event"], entry["connection_id"], entry["device_id"]) for entry in logs if "call" in entry]
    assert told == [("driver_stalled", "line-a", "a"), ("driver_returned", "line-a", "a")]


def test_watching_costs_two_looks_a_minute_however_often_a_device_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    look = CallWatch._look

    def counted(self: CallWatch, now_s: float) -> float:
        next(looks)
        return look(self, now_s)

    monkeypatch.setattr(CallWatch, "_look", counted)
    driver = ScriptedPolledDriver()
    collect((connection(device("a", poll_interval_s=0.1)), driver), story=lambda _: asyncio.sleep(600))
    assert len(driver.polls) > 5000
    # A look in the middle of a poll comes back when that one would be due.
    assert next(looks) <= 600 / 30 * 2


def watch() -> CallWatch:
    clock = VirtualClock()
    writer = author(clock)
    return CallWatch({}, Outcomes(ConnectionState("line-a"), {}, FakeOutbox(), writer), clock)


def unclosable() -> ScriptedPolledDriver:
    driver = ScriptedPolledDriver()
    driver.close_error = OSError("cannot close")
    return driver


async def test_trouble_while_closing_never_hides_a_cancellation() -> None:
    async def use() -> None:
        async with opened(unclosable(), watch()):
            await asyncio.sleep(3600)

    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_trouble_while_closing_does_not_hide_why_it_closed() -> None:
    with pytest.raises(ConnectionLost, match="cable"):
        async with opened(unclosable(), watch()):
            raise ConnectionLost("cable")


async def test_what_open_must_not_raise_is_a_fault() -> None:
    driver = ScriptedPolledDriver()
    driver.open_errors.append(AttributeError("no port"))
    with pytest.raises(DriverFault, match="AttributeError: no port"):
        async with opened(driver, watch()):
            pytest.fail("it was opened")
