import asyncio

from edge.collect.status import Condition
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
)
from edge.domain.event import EventType
from fakes.collect_run import Work, collect, for_seconds
from fakes.collect_site import connection, device
from fakes.scripted_driver import ScriptedPolledDriver, good, in_turn

LOST = EventType.DEVICE_CONNECTION_LOST


def unreachable() -> Exception:
    return DeviceUnreachable("no answer within 300 ms")


def test_a_connection_is_opened_again_for_ever() -> None:
    driver = ScriptedPolledDriver()
    driver.open_errors = [ConnectionLost("refused") for _ in range(40)]
    work = collect((connection(device("a"), device("b")), driver), story=for_seconds(1300))
    assert driver.opened == 1
    assert work.outbox.control_types() == ["DeviceConnectionLost"] * 2 + ["DeviceConnectionRestored"] * 2
    assert {event.data["reason"] for event in work.outbox.of(LOST)} == {"connection_lost"}
    assert work.outbox.samples("a")


def test_a_lost_transport_is_closed_and_opened_and_costs_no_event_when_it_is_back_at_once() -> None:
    driver = ScriptedPolledDriver()
    driver.close_error = OSError("already gone")
    driver.answers["a"] = in_turn(good, lambda: ConnectionLost("reset by peer"), then=good)
    work = collect((connection(device("a")), driver), story=for_seconds(10))
    assert (driver.opened, driver.closed) == (2, 2)
    assert work.outbox.control_types() == []
    assert work.fleet.status().connections[0].is_open


def test_a_transport_that_opens_but_carries_nothing_is_not_opened_in_a_loop() -> None:
    driver = ScriptedPolledDriver(timeout_s=0.0)
    driver.answers["a"] = lambda: ConnectionLost("reset by peer")
    collect((connection(device("a", poll_interval_s=0.1)), driver), story=for_seconds(600))
    assert 20 <= driver.opened <= 60


def test_a_half_open_transport_is_opened_anew_when_nobody_answers_any_more() -> None:
    driver = ScriptedPolledDriver()
    # The router forgot the connection: all polls of the first opening fail, those of the next do not.
    for name in ("a", "b"):
        driver.answers[name] = lambda: unreachable() if driver.opened == 1 else good()
    work = collect((connection(device("a"), device("b")), driver), story=for_seconds(60))
    assert driver.opened == 2
    assert work.fleet.status().devices[1].condition is Condition.ANSWERING


def test_on_a_new_transport_nobody_waits_out_an_old_back_off() -> None:
    driver = ScriptedPolledDriver()
    driver.answers["a"] = unreachable

    async def story(work: Work) -> None:
        await asyncio.sleep(300)
        driver.answers["a"] = good
        driver.answers["b"] = in_turn(lambda: ConnectionLost("reset by peer"), then=good)
        asked = len(driver.poll_times("a"))
        await asyncio.sleep(4)
        assert driver.opened == 2
        assert len(driver.poll_times("a")) > asked
        assert work.fleet.status().devices[0].condition is Condition.ANSWERING

    collect((connection(device("a"), device("b")), driver), story=story)
