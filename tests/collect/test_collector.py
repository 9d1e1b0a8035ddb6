import asyncio

import pytest
import structlog

from edge.collect.declarations import WAITING_MAX, Declarations, device_fault
from edge.collect.status import Condition
from edge.domain.driver import DeviceUnreachable
from edge.domain.event import EventType
from edge.domain.reading import Reading, Sample
from fakes.alarm_check import alarm_violations
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import FakeOutbox, author, connection, device, point
from fakes.scripted_driver import ScriptedPolledDriver, good, in_turn
from fakes.virtual_time import VirtualClock, run_virtual

RAISED = EventType.ALARM_RAISED
CLEARED = EventType.ALARM_CLEARED


class OddFrameError(Exception):
    """What no contract of a driver knows."""


def broken() -> Exception:
    return OddFrameError("index out of range")


def test_a_bug_of_the_driver_at_one_device_raises_one_alarm_and_only_this_device_backs_off() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.0)

    async def story(work: Work) -> None:
        await asyncio.sleep(2.2)
        driver.answers["a"] = broken
        await asyncio.sleep(60)
        status = work.fleet.status().devices[0]
        assert status.condition is Condition.FAULTY
        assert status.last_error == "OddFrameError: index out of range"
        assert 3 <= status.faults <= 12
        driver.answers["a"] = good
        await asyncio.sleep(40)
        assert work.fleet.status().devices[0].condition is Condition.ANSWERING

    work = collect((connection(device("a"), device("b")), driver), story=story)
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    (raised,), (cleared,) = work.outbox.of(RAISED), work.outbox.of(CLEARED)
    assert raised.data["deviceId"] == cleared.data["deviceId"] == "a"
    assert raised.data["alarm"] == cleared.data["alarm"] == "driver_fault"
    assert raised.data["message"] == "OddFrameError: index out of range"
    assert len(driver.poll_times("b")) >= 102
    assert driver.opened == 1


def test_a_bug_is_logged_once_with_its_traceback() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.0)
    driver.answers["a"] = broken
    with structlog.testing.capture_logs() as logs:
        collect((connection(device("a"), device("b")), driver), story=for_seconds(60))
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["event"] for entry in errors] == ["driver_failed"]
    assert isinstance(errors[0]["exc_info"].__cause__, OddFrameError)
    assert errors[0]["device_id"] == "a"


def test_changes_of_state_are_logged_once() -> None:
    driver = ScriptedPolledDriver()
    driver.open_errors = [OSError("odd")] * 3

    async def story(_: Work) -> None:
        await asyncio.sleep(60)

    with structlog.testing.capture_logs() as logs:
        collect((connection(device("a")), driver), story=story)
    told = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
    assert told == [
        "driver_failed",
        "connection_lost",
        "device_connection_lost",
        "connection_restored",
        "device_connection_restored",
    ]


def test_a_driver_that_breaks_at_every_device_gets_a_new_transport() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.0)
    for name in ("a", "b"):
        driver.answers[name] = lambda: broken() if driver.opened == 1 else good()
    work = collect((connection(device("a"), device("b")), driver), story=for_seconds(60))
    assert driver.opened == 2
    assert all(status.condition is Condition.ANSWERING for status in work.fleet.status().devices)
    assert len(work.outbox.of(CLEARED)) == len(work.outbox.of(RAISED)) == 2


def test_a_bug_at_opening_is_an_alarm_of_the_connection_until_something_answers() -> None:
    driver = ScriptedPolledDriver()
    driver.open_errors = [TypeError("port is None") for _ in range(4)]
    work = collect((connection(device("a")), driver), story=for_seconds(60))
    (raised,), (cleared,) = work.outbox.of(RAISED), work.outbox.of(CLEARED)
    assert raised.data["connectionId"] == cleared.data["connectionId"] == "line-a"
    assert raised.data["message"] == "TypeError: port is None"
    assert "deviceId" not in raised.data
    assert driver.opened == 1
    assert work.outbox.samples("a")


@pytest.mark.parametrize(
    "sample",
    [
        Sample(device_id="other", readings={"air_temperature": good()}),
        Sample(device_id="a", readings={"unheard_of": good()}),
        Sample(device_id="a", readings={"air_temperature": Reading(value=70.0, unit="[degF]")}),
        Sample(device_id="a", readings={"air_temperature": Reading(value=True, unit="Cel")}),
        Sample(device_id="a", readings={"air_temperature": good()}, measured_at_ms=10**18),
        Sample(device_id="a", readings={"air_temperature": Reading(value=10**400, unit="Cel")}),
    ],
)
def test_a_sample_that_its_device_cannot_have_given_is_a_fault_and_no_event(sample: Sample) -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = lambda: sample
    work = collect((connection(device("a", point(offset=0.1)), device("b")), driver), story=for_seconds(5))
    assert not work.outbox.samples("a")
    assert work.outbox.samples("b")
    assert work.outbox.control_types() == ["AlarmRaised"]


def test_a_driver_whose_own_task_was_cancelled_does_not_end_the_collector() -> None:
    driver = ScriptedPolledDriver()

    class Cancelling(ScriptedPolledDriver):
        async def poll(self, device_id: str) -> Sample:
            if len(driver.polls) == 2:
                driver.polls.append((device_id, -1.0))
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            return await driver.poll(device_id)

    work = collect((connection(device("a")), Cancelling()), story=for_seconds(20))
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    assert len(work.outbox.samples("a")) >= 15


def test_our_own_bug_is_not_taken_for_the_drivers() -> None:
    driver = ScriptedPolledDriver()

    class BrokenOutbox(FakeOutbox):
        def offer(self, _: object, *, can_wait: bool = False) -> bool:  # noqa: ARG002 - the outbox's
            raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        collect((connection(device("a")), driver), outbox=BrokenOutbox(), story=for_seconds(5))


def test_a_collector_ends_at_once_when_cancelled_in_any_state() -> None:
    for moment_s in (0.0, 0.005, 0.5, 1.5, 2.05, 3.3, 5.0, 9.0):
        driver = ScriptedPolledDriver()
        driver.answers["a"] = in_turn(good, lambda: OSError("odd"), broken)
        driver.open_errors = [OSError("odd")]
        driver.close_error = OSError("cannot close")
        collect((connection(device("a"), device("b")), driver), story=for_seconds(moment_s))
        assert driver.opened == driver.closed


def test_control_events_that_wait_are_bounded_and_still_say_what_stands() -> None:
    async def main() -> None:
        clock = VirtualClock()
        writer = author(clock)
        outbox = FakeOutbox(room=0)
        events = Declarations("line-a", {}, outbox, writer)
        stays, flaps, goes = (device_fault(name) for name in ("stays", "flaps", "goes"))
        outbox.room = 1
        events.alarm_raised(goes, "said before the disk took nothing any more")
        events.alarm_raised(stays, "")
        for _ in range(WAITING_MAX):
            events.alarm_raised(flaps, "")
            events.alarm_cleared(flaps)
        events.alarm_cleared(goes)
        outbox.room = 2 * WAITING_MAX
        events.catch_up(0.0)
        outbox.commit()
        assert len(outbox.events) == 1 + WAITING_MAX
        assert alarm_violations((event.type, event.data) for event in outbox.events) == []
        assert [alarm.identity for alarm in outbox.alarms] == [stays]

    run_virtual(main)


def test_what_opens_and_closes_while_only_openings_wait_does_not_stand_in_the_end() -> None:
    async def main() -> None:
        outbox = FakeOutbox(room=0)
        events = Declarations("line-a", {}, outbox, author(VirtualClock()))
        faults = [device_fault(f"device-{number}") for number in range(WAITING_MAX)]
        for fault in faults:
            events.alarm_raised(fault, "")
        for fault in faults[1:]:
            events.alarm_cleared(fault)
        outbox.room = 2 * WAITING_MAX
        events.catch_up(0.0)
        assert [alarm.identity for alarm in outbox.alarms] == faults[:1]

    run_virtual(main)


def test_an_event_that_was_refused_is_offered_again_though_nothing_else_comes() -> None:
    driver, outbox = ScriptedPolledDriver(), FakeOutbox(room=0)

    def unreachable() -> Exception:
        return DeviceUnreachable("no answer")

    driver.answers["a"] = unreachable

    async def story(_: Work) -> None:
        await asyncio.sleep(60)
        outbox.room = 100
        await asyncio.sleep(2)
        assert outbox.control_types() == ["DeviceConnectionLost"]

    collect((connection(device("a")), driver), outbox=outbox, story=story)
