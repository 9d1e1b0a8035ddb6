import asyncio
from dataclasses import replace

import pytest

from edge.collect.status import Condition
from edge.domain.driver import DeviceUnreachable
from edge.domain.event import EventType
from edge.domain.reading import Quality, Reading, Reason, bad
from fakes.collect_run import Work, collect
from fakes.collect_site import connection, device, point, values
from fakes.scripted_driver import ScriptedPolledDriver, good, in_turn

LOST = EventType.DEVICE_CONNECTION_LOST


def unreachable() -> Exception:
    return DeviceUnreachable("no answer within 300 ms")


def test_a_new_configuration_is_used_by_the_next_poll_of_this_device_only() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a", poll_interval_s=60.0), device("b"))

    async def story(work: Work) -> None:
        await asyncio.sleep(1.5)
        before = work.fleet.configuration("a")
        points = {"air_temperature": replace(before.points["air_temperature"], offset=-0.3)}
        work.fleet.configure(replace(before, version=7, poll_interval_s=2.0, points=points))
        await asyncio.sleep(4.9)

    work = collect((line, driver), story=story)
    # In phase, and at once: the collector does not sleep on until the old moment.
    assert driver.poll_times("a") == pytest.approx([0.0, 2.0, 4.0, 6.0])
    assert values(work.outbox.samples("a")) == [21.4, 21.1, 21.1, 21.1]
    assert [event.metadata["configVersion"] for event in work.outbox.samples("a")] == [0, 7, 7, 7]
    assert {event.metadata["configVersion"] for event in work.outbox.samples("b")} == {0}
    assert driver.poll_times("b") == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])


def test_a_sample_under_way_carries_the_version_it_was_asked_under() -> None:
    driver = ScriptedPolledDriver(answer_s=0.5)

    async def story(work: Work) -> None:
        await asyncio.sleep(1.2)
        work.fleet.configure(replace(work.fleet.configuration("a"), version=7))
        await asyncio.sleep(1.5)

    work = collect((connection(device("a")), driver), story=story)
    assert [event.metadata["configVersion"] for event in work.outbox.samples("a")] == [0, 0, 7]


def test_a_disabled_device_is_not_polled_until_it_is_enabled() -> None:
    driver = ScriptedPolledDriver()

    async def story(work: Work) -> None:
        await asyncio.sleep(1.5)
        work.fleet.configure(replace(work.fleet.configuration("a"), enabled=False))
        await asyncio.sleep(3)
        assert work.fleet.status().devices[0].condition is Condition.DISABLED
        work.fleet.configure(replace(work.fleet.configuration("a"), enabled=True))
        await asyncio.sleep(2)

    collect((connection(device("a")), driver), story=story)
    assert driver.poll_times("a") == pytest.approx([0.0, 1.0, 5.0, 6.0])


def test_progress_tells_when_each_device_was_last_done() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["b"] = unreachable

    async def story(work: Work) -> None:
        await asyncio.sleep(10.2)
        progress = {entry.device_id: entry for entry in work.fleet.progress()}
        assert progress["a"].cycle_s == pytest.approx(10.01)
        cycle_s = progress["b"].cycle_s
        assert cycle_s is not None
        assert cycle_s > 0
        assert progress["c"].cycle_s is None

    line = connection(device("a"), device("b"), device("c", enabled=False))
    collect((line, driver), story=story)


def test_the_status_shows_what_the_device_last_said() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = lambda: Reading(value=85.0, unit="Cel")

    async def story(work: Work) -> None:
        waiting = work.fleet.status().devices[0]
        assert (waiting.condition, waiting.readings, waiting.heard_age_s) == (Condition.WAITING, {}, None)
        await asyncio.sleep(0.5)
        status = work.fleet.status().devices[0]
        assert status.readings["air_temperature"].reason is Reason.OUT_OF_RANGE
        assert status.heard_age_s == pytest.approx(0.49)
        driver.answers["a"] = unreachable
        await asyncio.sleep(1)
        failing = work.fleet.status().devices[0]
        assert (failing.condition, failing.failures) == (Condition.FAILING, 1)
        assert failing.last_error == "no answer within 300 ms"
        await asyncio.sleep(20)
        assert work.fleet.status().devices[0].condition is Condition.LOST

    collect((connection(device("a"), device("b")), driver), story=story)


def test_a_drivers_question_gets_the_newest_corrected_value_of_another_device() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = in_turn(good, then=unreachable)

    async def story(work: Work) -> None:
        assert work.fleet.latest("a", "air_temperature") is None
        assert work.fleet.latest("nobody", "air_temperature") is None
        await asyncio.sleep(5)
        latest = work.fleet.latest("a", "air_temperature")
        assert latest is not None
        # No answer is no reading: the last one gets older, and the asker says how old it may be.
        assert latest.reading.value == 21.9
        assert latest.age_s == pytest.approx(4.99)
        assert work.fleet.latest("a", "co2") is None

    collect((connection(device("a", point(offset=0.5))), driver), story=story)


@pytest.mark.parametrize(
    "reading",
    [
        bad(Reason.SENSOR_FAULT, "Cel"),
        Reading(value=20.0, unit="Cel", quality=Quality.UNCERTAIN, reason=Reason.STALE),
    ],
)
def test_a_bad_or_stale_reading_is_none_to_a_drivers_question(reading: Reading) -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = in_turn(good, then=lambda: reading)

    async def story(work: Work) -> None:
        await asyncio.sleep(0.5)
        assert work.fleet.latest("a", "air_temperature") is not None
        await asyncio.sleep(1)
        assert work.fleet.latest("a", "air_temperature") is None

    collect((connection(device("a")), driver), story=story)


def test_a_device_that_is_told_to_be_slower_may_be_silent_for_longer() -> None:
    async def story(work: Work) -> None:
        assert work.fleet.status().devices[0].max_silence_s == 6.0
        work.fleet.configure(replace(work.fleet.configuration("a"), poll_interval_s=10.0))
        assert work.fleet.status().devices[0].max_silence_s == 60.0
        await asyncio.sleep(0)

    collect((connection(device("a")), ScriptedPolledDriver()), story=story)
