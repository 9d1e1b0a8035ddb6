"""A device whose power came a moment ago says what means nothing yet."""

import asyncio

import pytest

from edge.domain.driver import DeviceUnreachable
from edge.domain.reading import Origin, Quality, Reading, Reason, Sample, bad
from edge.domain.settings import DeviceSettings
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import Written, connection, device, point
from fakes.scripted_driver import ScriptedPolledDriver, ScriptedPushedDriver, good, in_turn

# A VirtualClock's machine has been up for a minute when a test begins.
UPTIME_S = 60.0


def reasons(events: list[Written] | tuple[Written, ...]) -> list[str | None]:
    return [event.data["readings"]["air_temperature"].get("reason") for event in events]


def warming(seconds: float) -> DeviceSettings:
    return device("a", warm_up_s=seconds)


def test_a_device_that_answers_from_the_start_on_is_as_old_as_the_machine() -> None:
    driver = ScriptedPolledDriver()
    work = collect((connection(warming(UPTIME_S + 3)), driver), story=for_seconds(5.5))
    assert reasons([*work.outbox.samples()]) == ["warming_up"] * 3 + [None] * 3
    reading = work.outbox.samples()[0].data["readings"]["air_temperature"]
    assert reading == {"value": None, "unit": "Cel", "quality": "bad", "reason": "warming_up"}


def test_a_machine_that_runs_for_longer_waits_for_nothing() -> None:
    work = collect((connection(warming(UPTIME_S)), ScriptedPolledDriver()), story=for_seconds(2.5))
    assert reasons([*work.outbox.samples()]) == [None] * 3


def test_a_device_that_was_lost_warms_up_again_from_its_first_answer_on() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.01)
    failing = [lambda: DeviceUnreachable("off")] * 4
    driver.answers["a"] = in_turn(good, *failing, then=good)
    work = collect((connection(warming(5.0)), driver), story=for_seconds(30))
    found = reasons([*work.outbox.samples()])
    assert work.outbox.control_types() == ["DeviceConnectionLost", "DeviceConnectionRestored"]
    # The answer that ends the loss among them: nobody knew of the new power before it.
    assert found[:7] == [None, *["warming_up"] * 5, None]
    assert set(found[7:]) == {None}


def test_a_single_missed_poll_is_no_new_power() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.01)
    driver.answers["a"] = in_turn(good, lambda: DeviceUnreachable("noise"), then=good)
    work = collect((connection(warming(5.0)), driver), story=for_seconds(8))
    assert set(reasons([*work.outbox.samples()])) == {None}


def test_what_is_bad_already_keeps_its_reason() -> None:
    driver = ScriptedPolledDriver()
    readings = {"air_temperature": good(), "co2": bad(Reason.SENSOR_FAULT, "Cel")}
    driver.answers["a"] = lambda: Sample(device_id="a", readings=readings)
    line = connection(device("a", point(), point("co2"), warm_up_s=UPTIME_S + 10))
    work = collect((line, driver), story=for_seconds(0.5))
    assert {key: item["reason"] for key, item in work.outbox.samples()[0].data["readings"].items()} == {
        "air_temperature": "warming_up",
        "co2": "sensor_fault",
    }


def test_an_uncertain_value_of_a_cold_device_is_none() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = lambda: Reading(
        value=21.0, unit="Cel", quality=Quality.UNCERTAIN, reason=Reason.UNCOMPENSATED
    )
    work = collect((connection(warming(UPTIME_S + 10)), driver), story=for_seconds(0.5))
    assert reasons([*work.outbox.samples()]) == ["warming_up"]


@pytest.mark.parametrize("origin", [Origin.HISTORY, Origin.RETAINED])
def test_what_was_measured_earlier_is_not_cold(origin: Origin) -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait([Sample(device_id="a", readings={"air_temperature": good()}, origin=origin)])
        await asyncio.sleep(1)

    work = collect((connection(warming(UPTIME_S + 10)), driver), story=story)
    assert reasons([*work.outbox.samples()]) == [None]
