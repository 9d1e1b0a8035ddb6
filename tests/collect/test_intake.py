import asyncio
from dataclasses import replace

from edge.domain.driver import DeviceUnreachable
from edge.domain.event import EventType
from edge.domain.reading import Reason, Sample, bad
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import FakeOutbox, connection, device, point, values
from fakes.scripted_driver import ScriptedPolledDriver, good

LOST = EventType.DEVICE_CONNECTION_LOST


def unreachable() -> Exception:
    return DeviceUnreachable("no answer within 300 ms")


def test_a_device_that_answered_for_some_points_gives_a_sample() -> None:
    driver = ScriptedPolledDriver()
    readings = {"air_temperature": good(), "pipe_temperature": bad(Reason.COMM_ERROR, "Cel")}
    driver.answers["a"] = lambda: Sample(device_id="a", readings=readings)
    line = connection(device("a", point(), point("pipe_temperature")))
    work = collect((line, driver), story=for_seconds(3.5))
    assert values(work.outbox.samples(), "pipe_temperature") == [None] * 4
    assert work.outbox.samples()[0].data["readings"]["pipe_temperature"]["reason"] == "comm_error"


def test_the_first_sample_of_a_start_waits_for_no_other() -> None:
    driver = ScriptedPolledDriver()
    work = collect((connection(device("a", point()), device("b", point())), driver), story=for_seconds(3.2))
    assert len(work.outbox.samples()) == 7
    assert work.outbox.hurried == 1


def test_readings_inside_the_deadband_give_no_event_until_the_heartbeat() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a", point(deadband=0.5, max_silence_s=20.0)))
    work = collect((line, driver), story=for_seconds(41))
    assert [event.data["measuredAt"][17:19] for event in work.outbox.samples()] == ["00", "20", "40"]
    assert work.fleet.status().devices[0].samples_suppressed == 38


def test_what_was_said_under_former_settings_hides_nothing_that_is_said_under_new_ones() -> None:
    driver = ScriptedPolledDriver(answer_s=0.5)
    line = connection(device("a", point(deadband=5.0)))

    async def story(work: Work) -> None:
        # While the second poll is under way: its answer is one under the former settings.
        await asyncio.sleep(1.2)
        before = work.fleet.configuration("a")
        points = {"air_temperature": replace(before.points["air_temperature"], offset=0.1)}
        work.fleet.configure(replace(before, version=7, points=points))
        await asyncio.sleep(2.5)

    work = collect((line, driver), story=story)
    assert values(work.outbox.samples("a")) == [21.4, 21.4, 21.5]
    assert [event.metadata["configVersion"] for event in work.outbox.samples("a")] == [0, 0, 7]


def test_refused_samples_are_counted_and_declared_exactly_once_room_is_back() -> None:
    driver = ScriptedPolledDriver()
    # One after another, so that the lost reading inside the dead-band is told again once there is room.
    line = connection(device("a", point(deadband=5.0)), device("b"))
    outbox = FakeOutbox(room=4)

    async def story(_: Work) -> None:
        await asyncio.sleep(5)
        outbox.is_stuck = True
        await asyncio.sleep(20)
        outbox.is_stuck = False
        await asyncio.sleep(5)

    work = collect((line, driver), outbox=outbox, story=story)
    status = {device.device_id: device for device in work.fleet.status().devices}
    (dropped,) = work.outbox.of(EventType.READINGS_DROPPED)
    assert dropped.data["deviceId"] == "b"
    assert dropped.data["reason"] == "not_accepted"
    assert dropped.data["sequences"] is None
    assert dropped.data["count"] == status["b"].samples_refused > 10
    accepted = work.outbox.samples("b")
    assert len(accepted) + dropped.data["count"] == len(driver.poll_times("b"))
    times = [event.data["measuredAt"] for event in accepted]
    first, last = dropped.data["firstMeasuredAt"], dropped.data["lastMeasuredAt"]
    assert max(time for time in times if time < first) < first <= last < min(time for time in times if time > last)
    assert [event.data["sequence"] for event in accepted] == list(range(1, len(accepted) + 1))


def test_refused_samples_are_declared_at_the_stop_at_the_latest() -> None:
    driver = ScriptedPolledDriver()
    outbox = FakeOutbox(room=2)
    outbox.is_stuck = True

    async def story(_: Work) -> None:
        await asyncio.sleep(9.5)
        outbox.room = 3

    work = collect((connection(device("a")), driver), outbox=outbox, story=story)
    (dropped,) = work.outbox.of(EventType.READINGS_DROPPED)
    assert dropped.data["count"] == 8


def test_a_deadband_is_measured_from_what_was_accepted() -> None:
    driver = ScriptedPolledDriver()
    outbox = FakeOutbox(room=0)

    async def story(_: Work) -> None:
        await asyncio.sleep(3.5)
        outbox.room = 10
        await asyncio.sleep(3)

    work = collect((connection(device("a", point(deadband=5.0))), driver), outbox=outbox, story=story)
    assert len(work.outbox.samples("a")) == 1


def test_a_control_event_that_finds_no_room_comes_later_and_polling_goes_on() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.01)
    driver.answers["a"] = unreachable
    outbox = FakeOutbox(room=0)

    async def story(_: Work) -> None:
        await asyncio.sleep(20)
        assert len(driver.poll_times("b")) == 20
        driver.answers["a"] = good
        await asyncio.sleep(31)
        outbox.room = 100
        await asyncio.sleep(3)

    work = collect((connection(device("a"), device("b")), driver), outbox=outbox, story=story)
    assert work.outbox.control_types()[:2] == ["DeviceConnectionLost", "DeviceConnectionRestored"]
    assert work.outbox.of(LOST)[0].data["occurredAt"] < "2026-11-23T10:00:20"


def test_what_waits_for_room_does_not_wait_for_the_next_poll() -> None:
    driver = ScriptedPolledDriver()
    outbox = FakeOutbox(room=0)

    async def story(_: Work) -> None:
        await asyncio.sleep(2)
        outbox.room = 10
        await asyncio.sleep(2)
        assert outbox.of(EventType.READINGS_DROPPED)[0].data["count"] == 1

    collect((connection(device("a", poll_interval_s=3600.0)), driver), outbox=outbox, story=story)


def test_under_a_new_configuration_each_point_is_reported_afresh() -> None:
    driver = ScriptedPolledDriver()

    async def story(work: Work) -> None:
        await asyncio.sleep(2.5)
        work.fleet.configure(replace(work.fleet.configuration("a"), version=7))
        await asyncio.sleep(3)

    work = collect((connection(device("a", point(deadband=5.0))), driver), story=story)
    assert [event.metadata["configVersion"] for event in work.outbox.samples()] == [0, 7]
