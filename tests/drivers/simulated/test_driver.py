import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

import drivers
from drivers.simulated.driver import SimulatedDriver, SimulatedPushedDriver
from drivers.simulated.options import (
    SimulatedConnectionOptions,
    SimulatedDeviceOptions,
    SimulatedFault,
    SimulatedPointOptions,
)
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    DriverContext,
    MalformedResponse,
    PolledDriver,
    PushedDriver,
    ValueRefused,
    WritingDriver,
)
from edge.domain.quantity import IDENTITY, Conversion
from edge.domain.reading import Reading, Reason, Sample, Value, bad
from edge.domain.settings import ConnectionSettings, DeviceSettings, PointSettings, ValueType


def point(point_id: str = "t", **options: object) -> PointSettings:
    made = SimulatedPointOptions(**options)  # type: ignore[arg-type]
    assert not made.mistakes()
    return PointSettings(
        id=point_id, quantity=None, type=made.value_type, unit="Cel", conversion=IDENTITY, options=made
    )


def device(device_id: str, *points: PointSettings, faults: Sequence[SimulatedFault] = ()) -> DeviceSettings:
    return DeviceSettings(
        id=device_id,
        points=points or (point(),),
        poll_interval_s=1.0,
        max_silence_s=60.0,
        options=SimulatedDeviceOptions(faults=tuple(faults)),
    )


def connection(*devices: DeviceSettings, **options: object) -> ConnectionSettings:
    made = SimulatedConnectionOptions(**options)  # type: ignore[arg-type]
    return ConnectionSettings(id="here", driver="simulated", options=made, devices=devices)


async def polled(driver: SimulatedDriver, device_id: str, times: int) -> list[object]:
    async with driver.open():
        return [(await driver.poll(device_id)).readings["t"].value for _ in range(times)]


async def test_a_script_is_played_again_and_again() -> None:
    driver = SimulatedDriver(connection(device("a", point(values=(1.0, 2.5, 3.0)))))
    assert await polled(driver, "a", 5) == [1.0, 2.5, 3.0, 1.0, 2.5]


async def test_not_a_number_in_a_script_is_a_sensor_fault() -> None:
    driver = SimulatedDriver(connection(device("a", point(values=(math.nan, 2.0)))))
    async with driver.open():
        assert (await driver.poll("a")).readings["t"] == bad(Reason.SENSOR_FAULT, "Cel")
        assert (await driver.poll("a")).readings["t"] == Reading(value=2.0, unit="Cel")


async def test_a_walk_repeats_with_its_seed_and_stays_within_its_ends() -> None:
    settings = connection(device("a", point(start=5.0, step=3.0, low=0.0, high=10.0)), seed=7)
    first = await polled(SimulatedDriver(settings), "a", 200)
    assert first == await polled(SimulatedDriver(settings), "a", 200)
    assert first[0] == 5.0
    assert all(isinstance(value, float) and 0 <= value <= 10 for value in first)
    assert len(set(first)) > 100
    other = connection(device("a", point(start=5.0, step=3.0, low=0.0, high=10.0)), seed=8)
    assert first != await polled(SimulatedDriver(other), "a", 200)


async def test_booleans_and_texts_keep_their_type() -> None:
    points = [point("door", values=(True, False)), point("mode", values=("auto",))]
    assert [each.type for each in points] == [ValueType.BOOLEAN, ValueType.TEXT]
    driver = SimulatedDriver(connection(device("a", *points)))
    async with driver.open():
        readings = (await driver.poll("a")).readings
    assert readings["door"].value is True
    assert readings["mode"].value == "auto"


async def test_faults_come_when_they_were_announced() -> None:
    faults = [
        SimulatedFault(kind="unreachable", from_poll=2, polls=2),
        SimulatedFault(kind="malformed", from_poll=4),
        SimulatedFault(kind="not_a_number", from_poll=5),
    ]
    driver = SimulatedDriver(connection(device("a", faults=faults)))
    async with driver.open():
        await driver.poll("a")
        for expected in (DeviceUnreachable, DeviceUnreachable, MalformedResponse):
            with pytest.raises(expected):
                await driver.poll("a")
        assert (await driver.poll("a")).readings["t"].reason is Reason.SENSOR_FAULT
        assert (await driver.poll("a")).readings["t"].value is not None


def test_a_fault_can_come_back() -> None:
    fault = SimulatedFault(kind="malformed", from_poll=3, polls=2, every_polls=5)
    assert [poll for poll in range(1, 15) if fault.meets(poll)] == [3, 4, 8, 9, 13, 14]


async def test_a_slow_answer_comes_after_its_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def remembered(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("drivers.simulated.driver.asyncio.sleep", remembered)
    driver = SimulatedDriver(connection(device("a", faults=[SimulatedFault(kind="slow", delay_ms=2500)])))
    async with driver.open():
        assert (await driver.poll("a")).readings
    assert 2.5 in waits


async def test_a_lost_connection_must_be_opened_again() -> None:
    driver = SimulatedDriver(connection(device("a", faults=[SimulatedFault(kind="connection_lost")])))
    async with driver.open():
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await driver.poll("a")
    async with driver.open():
        assert (await driver.poll("a")).readings


async def test_pushing_devices_speak_in_turn_and_are_told_what_was_accepted() -> None:
    settings = connection(
        device("a", point(values=(1.0,))),
        device("b", point(values=(2.0,)), faults=[SimulatedFault(kind="malformed", from_poll=2)]),
        mode="pushed",
        push_interval_ms=0,
    )
    driver = drivers.driver_kind("simulated").create(settings, DriverContext())
    assert isinstance(driver, SimulatedPushedDriver)
    received: list[Sample] = []
    async with driver.open():
        for _ in range(3):
            received.extend(await driver.receive())
        with pytest.raises(MalformedResponse):
            await driver.receive()
        received.extend(await driver.receive())
    assert [sample.device_id for sample in received] == ["a", "b", "a", "a"]
    driver.accepted(received[:2])
    assert list(driver.acknowledged) == received[:2]


async def test_a_pushing_connection_that_is_closed_says_so() -> None:
    driver = SimulatedPushedDriver(connection(device("a"), mode="pushed"))
    with pytest.raises(ConnectionLost):
        await driver.receive()


async def test_a_driver_that_never_waits_leaves_the_loop_to_others() -> None:
    driver = SimulatedDriver(connection(device("a")))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    await polled(driver, "a", 10)
    counter.cancel()
    assert turns >= 10


def test_both_kinds_keep_the_protocol() -> None:
    assert isinstance(SimulatedDriver(connection(device("a"))), PolledDriver)
    assert isinstance(SimulatedPushedDriver(connection(device("a"))), PushedDriver)


def test_options_that_make_no_sense_are_mistakes() -> None:
    assert SimulatedPointOptions(start=200.0).mistakes()
    assert SimulatedPointOptions(values=(1.0, "text")).mistakes()
    assert SimulatedPointOptions(step=-1.0).mistakes()
    assert SimulatedPointOptions(decimals=10).mistakes()
    assert SimulatedDeviceOptions(faults=(SimulatedFault(kind="slow", delay_ms=-1, from_poll=0),)).mistakes()
    assert SimulatedConnectionOptions(push_interval_ms=-1).mistakes()


async def test_a_written_value_is_kept_and_read_back() -> None:
    driver = SimulatedDriver(connection(device("a", point("t"), point("u"))))
    assert isinstance(driver, WritingDriver)
    async with driver.open():
        await driver.write("a", "t", 55.5)
        readings = [(await driver.poll("a")).readings for _ in range(5)]
    assert [each["t"].value for each in readings] == [55.5] * 5
    # The others walk on.
    assert len({each["u"].value for each in readings}) > 1


async def test_a_value_is_written_in_the_canonical_unit() -> None:
    celsius_of_fahrenheit = Conversion(factor=5 / 9, offset=-160 / 9)
    warm = replace(point("t", low=50.0, high=90.0, start=60.0, decimals=0), conversion=celsius_of_fahrenheit)
    driver = SimulatedDriver(connection(device("a", warm)))
    async with driver.open():
        await driver.write("a", "t", 20.0)
        assert (await driver.poll("a")).readings["t"].value == pytest.approx(20.0)
        # 212 in the device's own unit.
        with pytest.raises(ValueRefused, match="t takes values from 50 to 90 only"):
            await driver.write("a", "t", 100.0)


@pytest.mark.parametrize("value", [-0.01, 100.01, math.nan, math.inf, True, "on"])
async def test_a_value_that_a_point_cannot_hold_is_refused_and_changes_nothing(value: Value) -> None:
    written, untouched = (SimulatedDriver(connection(device("a"))) for _ in range(2))
    async with written.open(), untouched.open():
        with pytest.raises(ValueRefused):
            await written.write("a", "t", value)
        assert await written.poll("a") == await untouched.poll("a")


async def test_a_point_that_follows_a_script_takes_no_value() -> None:
    driver = SimulatedDriver(connection(device("a", point(values=(1.0, 2.0)))))
    async with driver.open():
        with pytest.raises(ValueRefused, match="t follows a script"):
            await driver.write("a", "t", 1.0)


async def test_a_write_meets_the_fault_that_the_next_poll_would_meet() -> None:
    faults = [SimulatedFault(kind="unreachable", from_poll=2), SimulatedFault(kind="connection_lost", from_poll=3)]
    driver = SimulatedDriver(connection(device("a", faults=faults)))
    async with driver.open():
        await driver.write("a", "t", 1.0)
        await driver.poll("a")
        for _ in range(2):
            with pytest.raises(DeviceUnreachable):
                await driver.write("a", "t", 2.0)
        with pytest.raises(DeviceUnreachable):
            await driver.poll("a")
        with pytest.raises(ConnectionLost):
            await driver.write("a", "t", 2.0)
        with pytest.raises(ConnectionLost, match="not open"):
            await driver.write("a", "t", 2.0)
