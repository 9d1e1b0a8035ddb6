"""Values are written by the task that polls: between two polls, in their order, and never instead of measuring."""

import asyncio
from collections.abc import Callable

import pytest

from edge.collect.wishes import WISHES_MAX, Wish
from edge.domain.configuration import WriteFailed
from edge.domain.driver import ConnectionLost, DeviceUnreachable, DriverMisconfigured, MalformedResponse, ValueRefused
from edge.domain.event import EventType
from fakes.collect_run import Work, collect
from fakes.collect_site import connection, device
from fakes.scripted_driver import ScriptedPolledDriver, ScriptedPushedDriver, WritableDriver, good
from fakes.virtual_time import run_virtual

LINE = connection(device("a"), device("b"))


async def failure(work: Work, device_id: str = "a", *, timeout_s: float = 10.0) -> WriteFailed:
    with pytest.raises(WriteFailed) as raised:
        await work.fleet.write(device_id, "target", 900.0, timeout_s=timeout_s)
    return raised.value


def unreachable() -> Exception:
    return DeviceUnreachable("no answer within 300 ms")


def test_values_are_written_between_polls_in_the_order_in_which_they_were_wished() -> None:
    driver = WritableDriver(answer_s=0.2, write_s=0.1)
    line = connection(device("a", poll_interval_s=0.4), device("b", poll_interval_s=0.4))

    async def story(work: Work) -> None:
        # While a poll is under way.
        await asyncio.sleep(2.1)
        assert driver.in_flight == 1
        wishes = [("a", 1.0), ("b", 2.0), ("a", 3.0)]
        await asyncio.gather(*(work.fleet.write(name, "target", value, timeout_s=10) for name, value in wishes))
        assert driver.written == [(name, "target", value) for name, value in wishes]

    collect((line, driver), story=story)


def test_many_wishes_do_not_keep_the_devices_from_being_measured() -> None:
    driver = WritableDriver()

    async def story(work: Work) -> None:
        await asyncio.sleep(5)

        async def write_for_ever() -> None:
            while True:
                await work.fleet.write("a", "target", 1.0, timeout_s=10)

        tasks = [asyncio.create_task(write_for_ever()) for _ in range(10)]
        await asyncio.sleep(20)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    collect((LINE, driver), story=story)
    assert len(driver.written) > 200
    for name in ("a", "b"):
        assert len(driver.poll_times(name)) == pytest.approx(25, abs=1)


def test_a_write_wakes_a_line_that_has_nothing_to_poll() -> None:
    driver = WritableDriver()

    async def story(work: Work) -> None:
        await asyncio.sleep(20)
        await work.fleet.write("a", "target", 900.0, timeout_s=10)

    collect((connection(device("a", poll_interval_s=60.0)), driver), story=story)
    assert driver.writes_begun == [20.0]


@pytest.mark.parametrize(
    ("error", "may_have_arrived"),
    [
        (ValueRefused("400 to 1200 only"), False),
        (DriverMisconfigured("it has no such register"), False),
        (DeviceUnreachable("no answer"), True),
        (MalformedResponse("half an answer"), True),
        (ConnectionLost("unplugged"), True),
    ],
)
def test_one_who_wishes_learns_what_went_wrong_and_whether_the_device_was_told(
    error: Exception, may_have_arrived: bool
) -> None:
    driver = WritableDriver()
    driver.write_errors = [error]

    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        failed = await failure(work)
        assert (str(failed), failed.may_have_arrived) == (str(error), may_have_arrived)
        await asyncio.sleep(5)
        await work.fleet.write("a", "target", 900.0, timeout_s=10)

    work = collect((LINE, driver), story=story)
    # A write says nothing about whether a device can be measured; a lost transport is opened anew.
    assert work.outbox.of(EventType.DEVICE_CONNECTION_LOST) == []
    assert driver.opened == (2 if isinstance(error, ConnectionLost) else 1)


@pytest.mark.parametrize("bug", [ZeroDivisionError("odd"), SystemExit("odd"), asyncio.CancelledError("odd")])
def test_a_bug_in_a_write_is_told_as_one_in_a_poll_and_costs_nothing_else(bug: BaseException) -> None:
    driver = WritableDriver()
    driver.write_errors = [bug]

    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        failed = await failure(work)
        assert str(failed).startswith(type(bug).__name__)
        assert failed.may_have_arrived
        await asyncio.sleep(5)

    work = collect((LINE, driver), story=story)
    assert [event.data["deviceId"] for event in work.outbox.of(EventType.ALARM_RAISED)] == ["a"]
    assert [event.data["deviceId"] for event in work.outbox.of(EventType.ALARM_CLEARED)] == ["a"]
    assert len(driver.poll_times("b")) == pytest.approx(10, abs=1)


def test_a_device_that_is_backed_off_answers_at_once_with_its_reason_and_its_neighbour_is_written() -> None:
    driver = WritableDriver()
    driver.answers["a"] = unreachable

    async def story(work: Work) -> None:
        await asyncio.sleep(60)
        began_s = work.clock.monotonic_s()
        failed = await failure(work)
        assert str(failed) == "is left alone for a while: no answer within 300 ms"
        assert not failed.may_have_arrived
        assert work.clock.monotonic_s() == began_s
        await work.fleet.write("b", "target", 1.0, timeout_s=10)
        driver.answers["a"] = good
        await asyncio.sleep(60)
        await work.fleet.write("a", "target", 2.0, timeout_s=10)

    collect((LINE, driver), story=story)
    assert driver.written == [("b", "target", 1.0), ("a", "target", 2.0)]


def test_wishes_that_wait_are_answered_when_the_connection_is_lost_and_while_it_is_away() -> None:
    driver = WritableDriver(write_s=1.0)

    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        driver.open_errors = [ConnectionLost("no such port")] * 3
        driver.write_errors = [ConnectionLost("unplugged")]
        failed = await asyncio.gather(failure(work, "a"), failure(work, "b"))
        assert [str(each) for each in failed] == ["unplugged", "is not reached: unplugged"]
        assert [each.may_have_arrived for each in failed] == [True, False]
        await asyncio.sleep(1.5)
        assert str(await failure(work)) == "is not reached: no such port"

    collect((LINE, driver), story=story)


def test_a_wish_whose_time_is_over_is_not_begun_any_more() -> None:
    driver = WritableDriver(answer_s=20.0)

    async def story(work: Work) -> None:
        await asyncio.sleep(1)
        failed = await failure(work, "b", timeout_s=3)
        assert str(failed) == "was not reached within 3 s: the line is busy"
        assert not failed.may_have_arrived
        given_up = asyncio.create_task(work.fleet.write("b", "target", 1.0, timeout_s=60))
        await asyncio.sleep(1)
        given_up.cancel()
        await asyncio.sleep(60)

    collect((LINE, driver), story=story)
    assert driver.writes_begun == []


def test_a_write_that_was_begun_is_finished_though_its_time_is_over() -> None:
    driver = WritableDriver(write_s=20.0)

    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        failed = await failure(work, timeout_s=3)
        assert failed.may_have_arrived
        assert driver.written == []
        await asyncio.sleep(20)
        assert driver.written == [("a", "target", 900.0)]

    collect((LINE, driver), story=story)


def test_a_write_that_does_not_return_is_told_as_a_stalled_call() -> None:
    driver = WritableDriver(write_s=1e6)

    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        failed = await failure(work, timeout_s=100)
        assert str(failed) == "was not reached within 100 s: its driver's write does not return"

    work = collect((LINE, driver), story=story)
    (alarm,) = work.outbox.of(EventType.ALARM_RAISED)
    assert (alarm.data["alarm"], alarm.data["deviceId"]) == ("driver_stalled", "a")


def test_more_wishes_than_a_wire_has_points_are_refused_and_room_comes_back() -> None:
    driver = WritableDriver(answer_s=50.0)

    async def story(work: Work) -> None:
        await asyncio.sleep(1)
        waiting = [asyncio.create_task(work.fleet.write("b", "target", 1.0, timeout_s=10)) for _ in range(WISHES_MAX)]
        await asyncio.sleep(1)
        assert str(await failure(work)) == f"{WISHES_MAX} others wait to be written over its connection"
        await asyncio.wait(waiting)
        assert all(isinstance(task.exception(), WriteFailed) for task in waiting)
        await work.fleet.write("b", "target", 2.0, timeout_s=100)

    collect((LINE, driver), story=story)
    assert driver.written == [("b", "target", 2.0)]


@pytest.mark.parametrize("make", [ScriptedPolledDriver, ScriptedPushedDriver])
def test_a_driver_that_cannot_write_is_no_secret(
    make: Callable[[], ScriptedPolledDriver | ScriptedPushedDriver],
) -> None:
    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        failed = await failure(work)
        assert (str(failed), failed.may_have_arrived) == ("cannot be written over its connection", False)

    collect((LINE, make()), story=story)


def test_a_disabled_device_is_written_nothing() -> None:
    driver = WritableDriver()

    async def story(work: Work) -> None:
        await asyncio.sleep(5)
        assert str(await failure(work)) == "is disabled by its configuration"

    collect((connection(device("a", enabled=False), device("b")), driver), story=story)
    assert driver.writes_begun == []


@pytest.mark.parametrize("failure", [None, WriteFailed("400 to 1200 only", may_have_arrived=False)])
def test_an_answer_that_comes_in_the_moment_in_which_the_time_is_over_counts(failure: WriteFailed | None) -> None:
    async def main() -> None:
        wish = Wish("a", "target", 900.0)
        asyncio.get_running_loop().call_later(1.0, wish.answer, failure)
        [outcome] = await asyncio.gather(wish.granted(1.0), return_exceptions=True)
        assert outcome is failure

    run_virtual(main)
