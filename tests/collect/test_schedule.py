import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from edge.collect.schedule import Schedule, next_moment

intervals = st.floats(min_value=0.05, max_value=4000, allow_nan=False)
times = st.floats(min_value=0, max_value=1e7, allow_nan=False)


@given(phase_s=times, interval_s=intervals, after_s=times)
def test_next_moment_lies_after_and_at_most_one_interval_away(
    phase_s: float, interval_s: float, after_s: float
) -> None:
    moment_s = next_moment(phase_s, interval_s, after_s)
    assert moment_s > after_s or moment_s == phase_s >= after_s
    if after_s >= phase_s:
        assert moment_s - after_s <= interval_s * (1 + 1e-6)


@given(phase_s=times, interval_s=intervals, after_s=times)
def test_next_moment_is_on_the_grid(phase_s: float, interval_s: float, after_s: float) -> None:
    count = (next_moment(phase_s, interval_s, after_s) - phase_s) / interval_s
    assert math.isclose(count, round(count), abs_tol=1e-3)


def test_first_polls_are_spread_over_the_interval() -> None:
    schedule = Schedule([("a", 4.0), ("b", 4.0), ("c", 4.0), ("d", 4.0)], start_s=100.0)
    assert [schedule._slots[device].due_s for device in "abcd"] == [100.0, 101.0, 102.0, 103.0]


def test_a_device_asked_once_an_hour_is_first_asked_within_seconds() -> None:
    schedule = Schedule([("a", 3600.0), ("b", 3600.0)], start_s=0.0)
    assert schedule._slots["b"].due_s == 5.0


def test_nobody_is_due_before_time() -> None:
    schedule = Schedule([("a", 2.0), ("b", 2.0)], start_s=0.0)
    schedule.finished("a", started_s=0.0, now_s=0.1)
    assert schedule.due(0.5) is None
    assert schedule.wake_s() == 1.0
    assert schedule.due(1.0) == "b"


def test_who_waited_longest_is_asked_first() -> None:
    schedule = Schedule([("a", 2.0), ("b", 2.0)], start_s=0.0)
    schedule.finished("a", started_s=0.0, now_s=0.1)
    assert schedule.due(7.0) == "b"


def test_missed_polls_are_skipped_and_the_phase_is_kept() -> None:
    schedule = Schedule([("a", 1.0)], start_s=0.0)
    schedule.finished("a", started_s=0.0, now_s=4.3)
    assert schedule.due(4.4) is None
    assert schedule.wake_s() == 5.0


def test_a_late_poll_is_not_followed_on_its_heels() -> None:
    schedule = Schedule([("a", 1.0)], start_s=0.0)
    schedule.finished("a", started_s=0.9, now_s=0.95)
    assert schedule.wake_s() == 2.0


def test_a_changed_interval_keeps_the_phase_and_back_again() -> None:
    schedule = Schedule([("x", 10.0), ("a", 10.0)], start_s=0.0)
    schedule.finished("a", started_s=5.0, now_s=5.1)
    schedule.change("a", interval_s=1.0, enabled=True, now_s=7.3)
    assert schedule._slots["a"].due_s == 8.0
    schedule.change("a", interval_s=10.0, enabled=True, now_s=9.2)
    assert schedule._slots["a"].due_s == 15.0


def test_a_configuration_that_changes_no_interval_moves_nothing() -> None:
    schedule = Schedule([("a", 10.0)], start_s=0.0)
    # Overdue: it must not be skipped because an offset was changed.
    schedule.change("a", interval_s=10.0, enabled=True, now_s=3.0)
    assert schedule.due(3.0) == "a"


def test_a_disabled_device_is_never_due_and_comes_back_in_phase() -> None:
    schedule = Schedule([("a", 1.0)], start_s=0.5)
    schedule.change("a", interval_s=1.0, enabled=False, now_s=0.6)
    assert schedule.due(100.0) is None
    assert schedule.wake_s() == math.inf
    schedule.change("a", interval_s=1.0, enabled=True, now_s=7.1)
    assert schedule.due(7.2) is None
    assert schedule.due(7.5) == "a"


def test_a_back_off_ends_on_the_grid_and_release_ends_it_early() -> None:
    schedule = Schedule([("a", 1.0), ("b", 1.0)], start_s=0.0)
    schedule.finished("a", started_s=0.0, now_s=0.3, hold_s=5.0)
    assert schedule._slots["a"].due_s == 6.0
    schedule.change("a", interval_s=2.0, enabled=True, now_s=1.0)
    assert schedule._slots["a"].due_s == 6.0
    schedule.release(2.5)
    assert schedule._slots["a"].due_s == 4.0
    assert schedule._slots["b"].due_s == 0.5


@given(
    intervals_s=st.lists(st.floats(min_value=0.5, max_value=20), min_size=1, max_size=6),
    durations_s=st.lists(st.floats(min_value=0.0, max_value=3.0), min_size=20, max_size=60),
)
def test_no_device_is_asked_more_often_than_its_interval_nor_starved(
    intervals_s: list[float], durations_s: list[float]
) -> None:
    devices = {str(number): interval_s for number, interval_s in enumerate(intervals_s)}
    schedule = Schedule(devices.items(), start_s=0.0)
    asked: dict[str, list[float]] = {device: [] for device in devices}
    now_s = 0.0
    for duration_s in durations_s:
        now_s = max(now_s, schedule.wake_s())
        device = schedule.due(now_s)
        assert device is not None
        assert schedule._slots[device].due_s == min(schedule._slots[other].due_s for other in devices)
        asked[device].append(now_s)
        schedule.finished(device, started_s=now_s, now_s=now_s + duration_s)
        now_s += duration_s
    for device, moments_s in asked.items():
        # At most one poll for each moment of the grid that has passed.
        assert len(moments_s) <= now_s / devices[device] + 1 + 1e-9
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments_s)]
        assert all(gap_s >= devices[device] / 2 - 1e-9 for gap_s in gaps)
