from hypothesis import given
from hypothesis import strategies as st

from edge.collect.availability import (
    RETRY_S_MAX,
    SHARED_RETRY_S_MAX,
    Availability,
    Change,
    is_silent,
    retry_s,
)


@given(st.lists(st.booleans(), max_size=60))
def test_lost_and_restored_alternate_and_lost_needs_three_failures_in_a_row(answers: list[bool]) -> None:
    state = Availability()
    changes: list[Change] = []
    in_a_row = 0
    for moment_s, answered in enumerate(answers):
        if answered:
            state, change = state.after_answer()
            assert (change is Change.RESTORED) == (in_a_row >= 3)
            in_a_row = 0
        else:
            state, change = state.after_failure(float(moment_s))
            in_a_row += 1
            assert (change is Change.LOST) == (in_a_row == 3)
            assert state.silent_since_s == moment_s - in_a_row + 1
        assert state.failures == in_a_row
        assert state.is_lost == (in_a_row >= 3)
        if change is not None:
            changes.append(change)
    assert changes == [Change.LOST, Change.RESTORED] * (len(changes) // 2) + [Change.LOST] * (len(changes) % 2)


def test_an_answering_device_stays_as_it_is() -> None:
    state = Availability()
    assert state.after_answer() == (state, None)


def test_silence_makes_a_pushing_device_lost_once() -> None:
    state, change = Availability().after_silence(12.0)
    assert change is Change.LOST
    assert state.silent_since_s == 12.0
    assert state.after_silence(12.0) == (state, None)
    assert state.after_answer() == (Availability(), Change.RESTORED)


def test_a_device_is_silent_from_its_limit_on() -> None:
    assert not is_silent(heard_s=10.0, max_silence_s=5.0, now_s=14.9)
    assert is_silent(heard_s=10.0, max_silence_s=5.0, now_s=15.0)


chances = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(
    failures=st.integers(min_value=1, max_value=10_000),
    interval_s=st.floats(min_value=0.1, max_value=3600),
    took_s=st.floats(min_value=0, max_value=10),
    silent=st.one_of(st.none(), st.integers(min_value=0, max_value=200)),
    chance=chances,
)
def test_a_retry_is_never_far_away(
    failures: int, interval_s: float, took_s: float, silent: int | None, chance: float
) -> None:
    wait_s = retry_s(failures, interval_s=interval_s, poll_took_s=took_s, silent_others=silent, chance=lambda: chance)
    assert 0 < wait_s <= max(interval_s, RETRY_S_MAX if silent is None else SHARED_RETRY_S_MAX)


@given(failures=st.integers(min_value=1, max_value=50), took_s=st.floats(min_value=0.01, max_value=10), chance=chances)
def test_a_silent_device_takes_a_tenth_of_the_wire_at_most(failures: int, took_s: float, chance: float) -> None:
    wait_s = retry_s(failures, interval_s=0.1, poll_took_s=took_s, silent_others=0, chance=lambda: chance)
    assert took_s <= 0.1 * (wait_s + took_s) * (1 + 1e-9)


def test_waits_grow_with_failures_and_vary_by_chance() -> None:
    def wait_s(failures: int, chance: float = 0.0) -> float:
        return retry_s(failures, interval_s=1.0, poll_took_s=0.0, silent_others=None, chance=lambda: chance)

    assert [wait_s(failures) for failures in (1, 2, 3, 4)] == [0.25, 0.5, 1.0, 2.0]
    assert wait_s(40) == 15.0
    assert wait_s(40, 0.5) == 22.5
