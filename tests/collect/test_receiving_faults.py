"""Drivers that break while they receive: what goes on, and who is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import structlog

from edge.domain.driver import DecodingBroke, DeviceUnreachable, MalformedResponse
from edge.domain.event import EventType
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings
from fakes.collect_run import Work, collect
from fakes.collect_site import connection, device, values
from fakes.scripted_driver import ScriptedPolledDriver, ScriptedPushedDriver, good


def said(value: float, device_id: str = "a") -> Sample:
    return Sample(device_id=device_id, readings={"air_temperature": good(value)})


def broker(*names: str) -> ConnectionSettings:
    return connection(*map(device, names), connection_id="broker")


def test_a_message_nobody_understands_stops_nothing() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        for trouble in (MalformedResponse("no JSON"), MalformedResponse("no JSON", device_id="a"), KeyError("x")):
            driver.arrivals.put_nowait(trouble)
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(2)

    work = collect((broker("a"), driver), story=story)
    assert driver.opened == 1
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    assert values(work.outbox.samples()) == [20.0]
    assert work.fleet.status().devices[0].polls_failed == 1


def test_receive_that_breaks_again_and_again_gets_a_new_transport_without_haste() -> None:
    class Broken(ScriptedPushedDriver):
        async def receive(self) -> Sequence[Sample]:
            self.receives += 1
            raise KeyError("x")

    driver = Broken()
    collect((broker("a"), driver), story=lambda _: asyncio.sleep(600))
    assert 20 <= driver.opened <= 60
    assert driver.receives == 3 * driver.opened or driver.receives // 3 == driver.opened - 1


def test_a_bug_that_one_device_meets_delays_no_other() -> None:
    driver = ScriptedPushedDriver()
    bug = DecodingBroke("a")
    bug.__cause__ = KeyError("x")

    async def story(work: Work) -> None:
        for number in range(100):
            driver.arrivals.put_nowait(bug)
            driver.arrivals.put_nowait([said(float(number), "b")])
            for _ in range(9):
                driver.arrivals.put_nowait(bug)
            await asyncio.sleep(1)
            assert work.fleet.state("b").readings["air_temperature"].value == number
        driver.arrivals.put_nowait([said(1.0)])
        await asyncio.sleep(1)

    work = collect((broker("a", "b"), driver), story=story)
    assert driver.opened == 1
    told = (EventType.ALARM_RAISED, EventType.ALARM_CLEARED)
    assert [len(work.outbox.of(kind, "a")) for kind in told] == [1, 1]
    assert work.fleet.status().devices[0].last_error is None


def test_an_acknowledgement_that_breaks_neither_stops_the_writer_nor_the_rest() -> None:
    driver = ScriptedPushedDriver()
    driver.accepted_error = RuntimeError("socket is gone")

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(1)
        driver.accepted_error = None
        driver.arrivals.put_nowait([said(21.0)])
        await asyncio.sleep(1)
        assert len(driver.acknowledged) == 1

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared"]
    assert values(work.outbox.samples()) == [20.0, 21.0]


def test_what_is_no_list_of_samples_is_a_fault() -> None:
    driver = ScriptedPushedDriver()

    async def story(_: Work) -> None:
        driver.arrivals.put_nowait(None)  # type: ignore[arg-type]
        driver.arrivals.put_nowait(["nonsense"])  # type: ignore[list-item]
        driver.arrivals.put_nowait([said(20.0)])
        await asyncio.sleep(3)

    work = collect((broker("a"), driver), story=story)
    assert values(work.outbox.samples()) == [20.0]


def test_a_bug_that_comes_back_after_a_good_message_is_told_again() -> None:
    driver = ScriptedPushedDriver()
    for arrived in (KeyError("x"), [said(20.0)], KeyError("x"), KeyError("x")):
        driver.arrivals.put_nowait(arrived)
    with structlog.testing.capture_logs() as logs:
        work = collect((broker("a"), driver), story=lambda _: asyncio.sleep(3))
    assert work.outbox.control_types() == ["AlarmRaised", "AlarmCleared", "AlarmRaised"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["driver_failed"] * 2


def test_what_is_no_sample_is_a_fault_and_what_came_with_it_is_taken() -> None:
    driver = ScriptedPushedDriver()
    driver.arrivals.put_nowait(["nonsense", said(20.0), None])  # type: ignore[list-item]
    work = collect((broker("a"), driver), story=lambda _: asyncio.sleep(1))
    assert values(work.outbox.samples()) == [20.0]
    (raised,) = work.outbox.of(EventType.ALARM_RAISED)
    assert raised.data["message"] == "the driver received what is no sample"


def test_what_a_disabled_device_says_is_no_fault_whatever_it_is() -> None:
    driver = ScriptedPushedDriver()

    async def story(work: Work) -> None:
        work.fleet.configure(replace(work.fleet.configuration("a"), enabled=False))
        driver.arrivals.put_nowait([replace(said(20.0), origin="live")])  # type: ignore[arg-type]
        await asyncio.sleep(1)

    work = collect((broker("a"), driver), story=story)
    assert work.outbox.control_types() == []
    assert len(driver.acknowledged) == 1


@pytest.mark.parametrize(
    "given",
    [
        [],
        [said(1.0, "unknown")],
        [replace(said(1.0), readings={"unheard_of": good()})],
        MalformedResponse("no JSON"),
        DeviceUnreachable("offline", device_id="a"),
        DecodingBroke("a"),
    ],
)
def test_a_driver_that_never_waits_lets_the_rest_of_the_gateway_live(given: Sequence[Sample] | Exception) -> None:
    class Spinning(ScriptedPushedDriver):
        async def receive(self) -> Sequence[Sample]:
            self.receives += 1
            if isinstance(given, Exception):
                raise given
            return given

    spinning, well = Spinning(), ScriptedPolledDriver()
    line = connection(device("well", poll_interval_s=0.1))
    work = collect((broker("a"), spinning), (line, well), story=lambda _: asyncio.sleep(0.95))
    assert len(work.outbox.samples("well")) == 10
    assert spinning.receives <= 10_000
