import asyncio

import pytest

from edge.collect.fleet import Told
from edge.domain.driver import DeviceUnreachable
from edge.domain.reading import Sample
from fakes.collect_run import Work, collect
from fakes.collect_site import connection, device, point
from fakes.scripted_driver import ScriptedPolledDriver, good


def test_a_device_is_read_at_once_and_keeps_its_grid() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a", poll_interval_s=60.0), device("b", poll_interval_s=60.0))
    told: list[dict[str, Told]] = []

    async def story(work: Work) -> None:
        await asyncio.sleep(20)
        told.append(await work.fleet.read(["a", "nobody"], timeout_s=5))
        await asyncio.sleep(60)

    work = collect((line, driver), story=story)
    assert told == [{"a": Told(readings={"air_temperature": good()})}]
    assert driver.poll_times("a") == pytest.approx([0.0, 20.0, 60.0])
    # What was read by hand is recorded like any other sample.
    assert len(work.outbox.samples("a")) == 3


def test_several_who_ask_at_once_cause_one_poll() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a", poll_interval_s=60.0))

    async def story(work: Work) -> None:
        await asyncio.sleep(20)
        both = await asyncio.gather(*(work.fleet.read(["a"], timeout_s=5) for _ in range(2)))
        assert both[0] == both[1]

    collect((line, driver), story=story)
    assert driver.poll_times("a") == pytest.approx([0.0, 20.0])


def test_a_device_that_is_backed_off_is_asked_all_the_same_and_its_trouble_is_told() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a"), device("b"))

    def unreachable() -> Exception:
        return DeviceUnreachable("no answer within 300 ms")

    async def story(work: Work) -> None:
        driver.answers["a"] = unreachable
        await asyncio.sleep(300)
        before = len(driver.poll_times("a"))
        told = await work.fleet.read(["a"], timeout_s=5)
        assert told == {"a": Told(error="no answer within 300 ms")}
        assert len(driver.poll_times("a")) == before + 1
        driver.answers["a"] = good
        assert (await work.fleet.read(["a"], timeout_s=5))["a"].readings == {"air_temperature": good()}

    collect((line, driver), story=story)


def test_a_line_that_is_held_up_is_not_waited_for_longer_than_asked() -> None:
    driver = ScriptedPolledDriver(answer_s=30)
    line = connection(device("a"), device("b"))

    async def story(work: Work) -> None:
        await asyncio.sleep(1)
        told = await work.fleet.read(["b"], timeout_s=5)
        assert "line is busy" in told["b"].error

    collect((line, driver), story=story)


def test_a_driver_that_does_not_return_is_named_as_the_reason() -> None:
    driver = ScriptedPolledDriver(answer_s=3600)
    line = connection(device("a"), device("b"))

    async def story(work: Work) -> None:
        await asyncio.sleep(60)
        told = await work.fleet.read(["b"], timeout_s=5)
        assert told["b"].error == "was not reached within 5 s: its driver's poll does not return"

    collect((line, driver), story=story)


def test_a_point_that_stands_in_no_event_stands_in_no_status_either() -> None:
    driver = ScriptedPolledDriver()
    readings = {"air_temperature": good(), "leaf_temperature": good()}
    driver.answers["a"] = lambda: Sample(device_id="a", readings=readings)
    line = connection(device("a", point(), point("leaf_temperature", publish=False)))

    async def story(work: Work) -> None:
        await asyncio.sleep(1)
        told = await work.fleet.read(["a"], timeout_s=5)
        assert told["a"].readings == {"air_temperature": good()}
        assert work.fleet.status().devices[0].readings == {"air_temperature": good()}

    collect((line, driver), story=story)
