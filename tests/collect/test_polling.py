import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from edge.collect.polling import POLLS_IN_A_ROW
from edge.collect.status import Condition
from edge.domain.driver import (
    DeviceUnreachable,
    Driver,
    DriverMisconfigured,
    MalformedResponse,
    PolledDriver,
)
from edge.domain.event import EventType
from edge.domain.reading import Sample
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import connection, device
from fakes.scripted_driver import ScriptedPolledDriver, good, in_turn

LOST = EventType.DEVICE_CONNECTION_LOST
RESTORED = EventType.DEVICE_CONNECTION_RESTORED


def unreachable() -> Exception:
    return DeviceUnreachable("no answer within 300 ms")


def test_each_device_is_polled_at_its_interval_with_its_phase() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a"), device("b", poll_interval_s=3.0))
    work = collect((line, driver), story=for_seconds(9.9))
    assert driver.poll_times("a") == pytest.approx([float(second) for second in range(10)])
    assert driver.poll_times("b") == pytest.approx([1.5, 4.5, 7.5])
    assert len(work.outbox.samples("a")) == 10
    assert [event.data["sequence"] for event in work.outbox.samples("b")] == [1, 2, 3]
    assert work.fleet.status().devices[0].samples_accepted == 10


def test_a_slow_device_makes_others_late_but_nothing_queues_up() -> None:
    driver = ScriptedPolledDriver(answer_s=0.6)
    line = connection(*(device(name) for name in "abcd"))
    collect((line, driver), story=for_seconds(60))
    gaps = [later - earlier for earlier, later in itertools.pairwise(began_s for _, began_s in driver.polls)]
    assert min(gaps) >= 0.6 - 1e-6
    # The wire carries 100 polls in this time; all get their share.
    assert all(20 <= len(driver.poll_times(name)) <= 30 for name in "abcd")


def test_three_polls_without_answer_are_one_loss_and_the_first_answer_one_return() -> None:
    driver = ScriptedPolledDriver()
    line = connection(device("a"), device("b"))

    async def story(_: Work) -> None:
        await asyncio.sleep(5.7)
        driver.answers["a"] = unreachable
        await asyncio.sleep(30)
        driver.answers["a"] = good
        await asyncio.sleep(40)

    work = collect((line, driver), story=story)
    assert work.outbox.control_types() == ["DeviceConnectionLost", "DeviceConnectionRestored"]
    (lost,), (restored,) = work.outbox.of(LOST), work.outbox.of(RESTORED)
    assert {key: lost.data[key] for key in ("deviceId", "reason", "attempts", "since", "detail")} == {
        "deviceId": "a",
        "reason": "unreachable",
        "attempts": 3,
        "since": "2026-11-23T10:00:06.300Z",
        "detail": "no answer within 300 ms",
    }
    assert lost.metadata["configVersion"] == 0
    assert 29 <= restored.data["lostForS"] <= 60
    assert len(work.outbox.samples("a")) == len(driver.poll_times("a")) - work.fleet.status().devices[0].polls_failed


def test_two_polls_without_answer_are_no_loss_and_no_sample() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = in_turn(unreachable, unreachable, good)
    work = collect((connection(device("a"), device("b")), driver), story=for_seconds(59.9))
    assert work.outbox.control_types() == []
    status = work.fleet.status().devices[0]
    assert status.samples_accepted + status.polls_failed == len(driver.poll_times("a"))
    assert status.samples_accepted == len(work.outbox.samples("a"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MalformedResponse("7 registers instead of 2"), "malformed_response"),
        (DriverMisconfigured("no such table"), "misconfigured"),
        (DeviceUnreachable(), "unreachable"),
    ],
)
def test_the_loss_says_why(error: Exception, reason: str) -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = lambda: error
    work = collect((connection(device("a"), device("b")), driver), story=for_seconds(20))
    (lost,) = work.outbox.of(LOST)
    assert lost.data["reason"] == reason
    assert lost.data["detail"] == (str(error) or "DeviceUnreachable")


def test_a_silent_unit_of_ten_costs_the_others_a_tenth_at_most() -> None:
    driver = ScriptedPolledDriver(answer_s=0.02, timeout_s=1.0)
    driver.answers["d9"] = unreachable
    line = connection(*(device(f"d{number}") for number in range(10)))
    collect((line, driver), story=for_seconds(300))
    for number in range(9):
        assert len(driver.poll_times(f"d{number}")) >= 270
    # And it is still asked.
    assert len(driver.poll_times("d9")) >= 8


def test_a_silent_device_never_delays_another_connection() -> None:
    quiet, busy = ScriptedPolledDriver(timeout_s=30.0), ScriptedPolledDriver()
    quiet.answers["dead"] = unreachable
    collect(
        (connection(device("dead"), connection_id="quiet"), quiet),
        (connection(device("alive", poll_interval_s=0.1), connection_id="busy"), busy),
        story=for_seconds(59.95),
    )
    assert busy.poll_times("alive") == pytest.approx([tenth / 10 for tenth in range(600)], abs=1e-6)


def test_recovery_is_noticed_within_half_a_minute_even_after_hours() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = unreachable

    async def story(work: Work) -> None:
        await asyncio.sleep(7200)
        driver.answers["a"] = good
        await asyncio.sleep(32)
        assert work.fleet.status().devices[0].condition is Condition.ANSWERING

    work = collect((connection(device("a"), device("b")), driver), story=story)
    assert work.outbox.control_types() == ["DeviceConnectionLost", "DeviceConnectionRestored"]


def test_a_back_off_never_asks_more_often_than_the_interval() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = unreachable
    collect((connection(device("a", poll_interval_s=120.0), device("b")), driver), story=for_seconds(3600))
    gaps = [later - earlier for earlier, later in itertools.pairwise(driver.poll_times("a"))]
    assert min(gaps) >= 119


def test_a_poll_is_not_cancelled_but_at_shutdown() -> None:
    driver = ScriptedPolledDriver(answer_s=0.9)

    async def story(work: Work) -> None:
        for version in range(1, 60):
            await asyncio.sleep(0.1)
            work.fleet.configure(replace(work.fleet.configuration("a"), version=version))
        assert driver.cancelled == 0

    collect((connection(device("a")), driver), story=story)
    assert driver.cancelled <= 1
    assert driver.closed == 1


def test_a_driver_that_never_waits_lets_the_rest_of_the_gateway_live() -> None:
    turn = 0
    turns: list[int] = []

    class Instant(ScriptedPolledDriver):
        @asynccontextmanager
        async def open(self) -> AsyncIterator[None]:
            # Long enough that all devices are due at once.
            await asyncio.sleep(1.0)
            yield

        async def poll(self, device_id: str) -> Sample:
            turns.append(turn)
            return Sample(device_id=device_id, readings={"air_temperature": good()})

    async def story(_: Work) -> None:
        nonlocal turn
        await asyncio.sleep(1.0)
        while turn < 50:
            turn += 1
            await asyncio.sleep(0)

    collect((connection(*(device(f"d{number}") for number in range(100))), Instant()), story=story)
    assert len(turns) == 100
    assert max(Counter(turns).values()) <= POLLS_IN_A_ROW


def test_the_fake_is_a_driver() -> None:
    driver: Driver = ScriptedPolledDriver()
    assert isinstance(driver, PolledDriver)
