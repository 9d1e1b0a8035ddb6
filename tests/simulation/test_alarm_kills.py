"""A daemon that is killed at any statement leaves no alarm and no lost device without its event, nor the other way round."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from edge.domain.driver import DeviceUnreachable
from edge.domain.event import Draft, EventType
from edge.storage import batch
from edge.storage.database import Statement
from edge.storage.remembered import remembering
from fakes.alarm_check import alarm_view
from fakes.collect_lives import Lives, Script, seconds
from fakes.collect_site import connection, device
from fakes.scripted_driver import Answer, ScriptedPolledDriver, good
from fakes.virtual_time import run_virtual

LINE = connection(*(device(name, poll_interval_s=0.5) for name in ("away", "broken", "well")))
# Long enough for three polls that nothing answers, and the commit after them.
LIFE_S = 2.5
TOLD = (
    EventType.DEVICE_CONNECTION_LOST,
    EventType.DEVICE_CONNECTION_RESTORED,
    EventType.ALARM_RAISED,
    EventType.ALARM_CLEARED,
)


def bad_day() -> ScriptedPolledDriver:
    def away() -> Answer:
        return DeviceUnreachable("no answer")

    def broken() -> Answer:
        return ZeroDivisionError("division by zero")

    driver = ScriptedPolledDriver(timeout_s=0.01)
    driver.answers |= {"away": away, "broken": broken}
    return driver


def good_day() -> ScriptedPolledDriver:
    driver = ScriptedPolledDriver()
    driver.answers |= {"away": good, "broken": good}
    return driver


async def assert_story_is_told_rightly(lives: Lives) -> None:
    """The cause of everything is gone, and the last life has seen it: nothing stands, in the stream or in memory."""
    view = alarm_view(await lives.told(*TOLD))
    assert view.violations == []
    assert (view.alarms, view.lost) == ({}, {})
    assert await lives.standing() == []


def kill_at_every_statement(directory: Path, driver: Callable[[], ScriptedPolledDriver], script: Script) -> int:
    """Live a bad day, then a day with a kill, then a good one; return at how many statements there was a kill."""

    async def story(kill: int) -> bool:
        lives = Lives(directory=directory / str(kill))
        await lives.live([(LINE, bad_day())], seconds(LIFE_S if driver is good_day else 0.0))
        was_killed = not await lives.live([(LINE, driver())], script, fuse=kill)
        await lives.live([(LINE, good_day())], seconds(LIFE_S))
        await assert_story_is_told_rightly(lives)
        assert was_killed or {event_type for event_type, _ in await lives.told(*TOLD)} == set(TOLD)
        return was_killed

    return next(kill for kill in count() if not run_virtual(partial(story, kill)))


def test_a_kill_while_devices_are_lost_and_alarms_are_raised(tmp_path: Path) -> None:
    assert kill_at_every_statement(tmp_path, bad_day, seconds(LIFE_S)) > 40


def test_a_kill_while_devices_come_back_and_alarms_are_cleared(tmp_path: Path) -> None:
    assert kill_at_every_statement(tmp_path, good_day, seconds(LIFE_S / 2)) > 40


def test_the_kills_find_an_alarm_that_is_remembered_apart_from_its_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if memory were written with the next commit, or the one after it."""
    late: deque[list[Statement]] = deque([[], []])

    def remembered_later(drafts: Sequence[Draft]) -> list[Statement]:
        late.append(remembering(drafts))
        return late.popleft()

    monkeypatch.setattr(batch, "remembering", remembered_later)
    with pytest.raises(AssertionError):
        kill_at_every_statement(tmp_path, bad_day, seconds(LIFE_S))
