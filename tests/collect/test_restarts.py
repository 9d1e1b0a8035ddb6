"""What is lost or open stays so over restarts, and ends when its cause is gone: each story by its name."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from edge.collect.status import Condition
from edge.domain.clock import ClockState
from edge.domain.configuration import site_file_configuration
from edge.domain.driver import DeviceUnreachable, DriverError
from edge.domain.event import EventType
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings
from fakes.alarm_check import alarm_view
from fakes.collect_lives import Life, Lives, seconds
from fakes.collect_site import connection, device
from fakes.scripted_driver import Answer, ScriptedPolledDriver, ScriptedPushedDriver, good
from fakes.virtual_time import run_virtual

LOST = EventType.DEVICE_CONNECTION_LOST
RESTORED = EventType.DEVICE_CONNECTION_RESTORED
RAISED = EventType.ALARM_RAISED
CLEARED = EventType.ALARM_CLEARED
RETIRED = EventType.DEVICE_RETIRED

LINE = connection(device("a"), device("b"))
Story = Callable[[Lives], Awaitable[None]]


def away() -> Answer:
    return DeviceUnreachable("no answer")


def broken() -> Answer:
    return ZeroDivisionError("division by zero")


def polled(answer: Callable[[], Answer], *, opening: Exception | None = None) -> ScriptedPolledDriver:
    """A driver whose device `a` answers so; `b` is always good."""
    driver = ScriptedPolledDriver()
    driver.answers["a"] = answer
    if opening is not None:
        driver.open_errors = [opening for _ in range(100)]
    return driver


class Hanging(ScriptedPolledDriver):
    """Its device `a` never answers a poll, well or badly."""

    async def poll(self, device_id: str) -> Sample:
        if device_id == "a":
            await asyncio.get_running_loop().create_future()
        return await super().poll(device_id)


def is_lost(life: Life) -> None:
    conditions = {each.device_id: each.condition for each in life.fleet.status().devices}
    assert conditions["a"] is Condition.LOST


def play(directory: Path, story: Story) -> None:
    """Play a story, then hold the gateway's stream against what consumers rely on."""

    async def main() -> None:
        lives = Lives(directory=directory)
        await story(lives)
        assert alarm_view(await lives.told()).violations == []

    run_virtual(main)


def test_a_device_that_comes_back_after_a_restart_is_restored_with_the_moment_it_was_lost(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(away))], seconds(20, is_lost))
        await asyncio.sleep(1000)
        await lives.live([(LINE, polled(good))], seconds(20))
        [(_, lost), (_, restored)] = await lives.told(LOST, RESTORED)
        assert restored["since"] == lost["since"] == "2026-11-23T10:00:00.300Z"
        assert restored["lostForS"] == pytest.approx(1020, abs=1)

    play(tmp_path, story)


def test_a_device_that_is_still_away_after_restarts_is_not_lost_again(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        for _ in range(3):
            await lives.live([(LINE, polled(away))], seconds(60, is_lost))
        assert len(await lives.told(LOST, RESTORED)) == 1
        await lives.live([(LINE, polled(good))], seconds(20))
        await lives.live([(LINE, polled(away))], seconds(60, is_lost))
        assert [event_type for event_type, _ in await lives.told(LOST, RESTORED)] == [LOST, RESTORED, LOST]

    play(tmp_path, story)


def test_a_remembered_loss_is_shown_before_the_first_poll(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(away))], seconds(20))
        await lives.live([(LINE, polled(away))], seconds(0, is_lost))

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("before", "after", "known"),
    [
        (ClockState.SYNCHRONIZED, ClockState.SYNCHRONIZED, True),
        (ClockState.UNSYNCHRONIZED, ClockState.SYNCHRONIZED, False),
        (ClockState.SYNCHRONIZED, ClockState.UNSYNCHRONIZED, False),
    ],
)
@pytest.mark.parametrize("boots", [False, True])
def test_how_long_a_device_was_lost_is_told_only_if_a_clock_knows(
    tmp_path: Path, before: ClockState, after: ClockState, *, known: bool, boots: bool
) -> None:
    async def story(lives: Lives) -> None:
        lives.clock_state = before
        await lives.live([(LINE, polled(away))], seconds(20))
        lives.clock_state = after
        if boots:
            lives.boot_id = UUID(int=2)
        await lives.live([(LINE, polled(good))], seconds(20))
        [(_, restored)] = await lives.told(RESTORED)
        assert ("lostForS" in restored) == (known or not boots)

    play(tmp_path, story)


def test_a_pushing_device_that_was_lost_is_restored_by_its_first_message_after_a_restart(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        silent = ScriptedPushedDriver()
        await lives.live([(LINE, silent)], seconds(20, is_lost))
        still_silent = ScriptedPushedDriver()
        await lives.live([(LINE, still_silent)], seconds(20, is_lost))
        speaking = ScriptedPushedDriver()
        sample = await ScriptedPolledDriver().poll("a")
        speaking.arrivals.put_nowait([sample])
        await lives.live([(LINE, speaking)], seconds(3))
        told = [(event_type, data["deviceId"]) for event_type, data in await lives.told(LOST, RESTORED)]
        assert sorted(told) == [(LOST, "a"), (LOST, "b"), (RESTORED, "a")]

    play(tmp_path, story)


def test_an_alarm_whose_cause_went_while_the_daemon_was_down_is_cleared_by_the_first_good_sample(
    tmp_path: Path,
) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(broken))], seconds(20))
        await lives.live([(LINE, polled(good))], seconds(3))
        [(raised, first), (cleared, second)] = await lives.told(RAISED, CLEARED)
        assert (raised, cleared) == (RAISED, CLEARED)
        assert (first["alarm"], first["deviceId"]) == (second["alarm"], second["deviceId"]) == ("driver_fault", "a")

    play(tmp_path, story)


def test_an_alarm_that_is_still_true_after_restarts_is_not_raised_again(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        for _ in range(3):
            await lives.live([(LINE, polled(broken))], seconds(20))
        assert [event_type for event_type, _ in await lives.told(RAISED, CLEARED)] == [RAISED]

    play(tmp_path, story)


def test_an_alarm_of_a_connection_is_cleared_after_a_restart_by_what_comes_through_it(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        for _ in range(2):
            await lives.live([(LINE, polled(good, opening=ZeroDivisionError("odd")))], seconds(20))
        await lives.live([(LINE, polled(good))], seconds(20))
        told = [(event_type, data["connectionId"]) for event_type, data in await lives.told(RAISED, CLEARED)]
        assert told == [(RAISED, "line-a"), (CLEARED, "line-a")]

    play(tmp_path, story)


@pytest.mark.parametrize(
    "driver", [lambda: polled(broken), lambda: polled(good, opening=ZeroDivisionError("odd")), Hanging]
)
def test_what_an_earlier_run_raised_is_told_in_the_log_of_each_run_and_in_no_second_event(
    tmp_path: Path, driver: Callable[[], ScriptedPolledDriver]
) -> None:
    async def story(lives: Lives) -> None:
        for _ in range(2):
            with structlog.testing.capture_logs() as logs:
                await lives.live([(LINE, driver())], seconds(60))
            errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
            assert errors in (["driver_failed"], ["driver_stalled"])
        assert len(await lives.told(RAISED, CLEARED)) == 1

    play(tmp_path, story)


def test_a_call_that_did_not_return_is_told_once_over_restarts_and_cleared_by_one_that_does(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        for _ in range(3):
            await lives.live([(LINE, Hanging())], seconds(60))
        [(_, raised)] = await lives.told(RAISED, CLEARED)
        await lives.live([(LINE, polled(away))], seconds(3))
        [_, (_, cleared)] = await lives.told(RAISED, CLEARED)
        for told in (raised, cleared):
            assert (told["alarm"], told["connectionId"], told["deviceId"]) == ("driver_stalled", "line-a", "a")

    play(tmp_path, story)


@pytest.mark.parametrize(
    "after",
    [
        connection(device("a", enabled=False), device("b")),
        connection(device("a", enabled=False), device("b", enabled=False)),
    ],
)
def test_a_call_that_did_not_return_is_cleared_where_none_like_it_will_be_made(
    tmp_path: Path, after: ConnectionSettings
) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, Hanging())], seconds(60))
        await lives.live([(after, polled(good))], seconds(3))
        assert [event_type for event_type, _ in await lives.told(RAISED, CLEARED)] == [RAISED, CLEARED]

    play(tmp_path, story)


def test_a_lost_device_that_is_removed_is_retired_and_comes_back_as_a_new_one(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(away))], seconds(20))
        without = connection(device("b"))
        await lives.live([(without, polled(good))], seconds(20))
        await lives.live([(LINE, polled(good))], seconds(20))
        await lives.live([(LINE, polled(away))], seconds(20))
        told = [event_type for event_type, _ in await lives.told(LOST, RESTORED, RETIRED)]
        assert told == [LOST, RETIRED, LOST]

    play(tmp_path, story)


def test_a_faulty_device_that_is_removed_has_its_alarm_cleared_before_it_is_retired(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(broken))], seconds(20))
        without = connection(device("b"))
        for _ in range(2):
            await lives.live([(without, polled(good))], seconds(20))
        told = [event_type for event_type, _ in await lives.told(RAISED, CLEARED, RETIRED)]
        assert told == [RAISED, CLEARED, RETIRED]

    play(tmp_path, story)


def test_a_lost_device_on_another_connection_is_the_same_device(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(away))], seconds(20))
        other = connection(device("a"), connection_id="line-b")
        rest = connection(device("b"))
        await lives.live([(rest, polled(good)), (other, polled(away))], seconds(20, is_lost))
        await lives.live([(rest, polled(good)), (other, polled(good))], seconds(20))
        assert [event_type for event_type, _ in await lives.told(LOST, RESTORED)] == [LOST, RESTORED]

    play(tmp_path, story)


def set_enabled(life: Life, *, enabled: bool) -> None:
    settings = life.fleet.device("a")
    assert settings is not None
    life.fleet.configure(replace(site_file_configuration(settings), enabled=enabled))


def test_a_device_that_is_disabled_while_it_is_lost_stays_lost_until_it_answers(tmp_path: Path) -> None:
    off = connection(device("a", enabled=False), device("b"))

    async def disabled(life: Life) -> None:
        await asyncio.sleep(20)
        set_enabled(life, enabled=False)
        await asyncio.sleep(20)

    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(away))], disabled)
        await lives.live([(off, polled(good))], seconds(20))
        assert [event_type for event_type, _ in await lives.told(LOST, RESTORED)] == [LOST]
        await lives.live([(LINE, polled(away))], seconds(20, is_lost))
        await lives.live([(LINE, polled(good))], seconds(20))
        assert [event_type for event_type, _ in await lives.told(LOST, RESTORED)] == [LOST, RESTORED]

    play(tmp_path, story)


def test_a_faulty_device_that_is_disabled_has_its_alarm_cleared_at_once(tmp_path: Path) -> None:
    async def disabled(life: Life) -> None:
        await asyncio.sleep(20)
        set_enabled(life, enabled=False)
        await asyncio.sleep(2)
        set_enabled(life, enabled=True)
        await asyncio.sleep(20)

    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(broken))], disabled)
        assert [event_type for event_type, _ in await lives.told(RAISED, CLEARED)] == [RAISED, CLEARED, RAISED]

    play(tmp_path, story)


def test_a_faulty_pushing_device_that_is_disabled_has_its_alarm_cleared_at_once(tmp_path: Path) -> None:
    pushing = ScriptedPushedDriver()
    pushing.arrivals.put_nowait([Sample(device_id="a", readings={"unheard_of": good()})])

    async def disabled(life: Life) -> None:
        await asyncio.sleep(2)
        set_enabled(life, enabled=False)
        await asyncio.sleep(2)

    async def story(lives: Lives) -> None:
        await lives.live([(LINE, pushing)], disabled)
        assert [event_type for event_type, _ in await lives.told(RAISED, CLEARED)] == [RAISED, CLEARED]

    play(tmp_path, story)


def test_a_device_that_the_site_file_disables_has_its_alarm_cleared_at_the_start(tmp_path: Path) -> None:
    off = connection(device("a", enabled=False), device("b", enabled=False))

    async def story(lives: Lives) -> None:
        await lives.live([(LINE, polled(broken))], seconds(20))
        await lives.live([(LINE, polled(good, opening=ZeroDivisionError("odd")))], seconds(2))
        await lives.live([(off, polled(good))], seconds(20))
        assert alarm_view(await lives.told()).alarms == {}
        assert len(await lives.told(RAISED, CLEARED)) == 4

    play(tmp_path, story)


def test_a_device_that_says_it_leaves_while_it_is_lost_is_not_lost_again(tmp_path: Path) -> None:
    async def story(lives: Lives) -> None:
        for _ in range(2):
            leaving = ScriptedPushedDriver()
            error: DriverError = DeviceUnreachable("offline", device_id="a")
            leaving.arrivals.put_nowait(error)
            await lives.live([(LINE, leaving)], seconds(2, is_lost))
        assert len(await lives.told(LOST)) == 1

    play(tmp_path, story)
