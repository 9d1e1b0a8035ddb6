import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.clock import ClockState, rfc3339, unix_ms_of
from edge.operate.clock import SystemClock


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_795_428_900_120) == "2026-11-23T10:15:00.120Z"
    assert rfc3339(5) == "1970-01-01T00:00:00.005Z"


@given(st.integers(0, 253_402_300_799_999))
def test_a_written_time_reads_back_to_the_millisecond(unix_ms: int) -> None:
    assert unix_ms_of(rfc3339(unix_ms)) == unix_ms


def test_an_offset_is_understood() -> None:
    assert unix_ms_of("2026-11-23T11:15:00.120+01:00") == 1_795_428_900_120


@pytest.mark.parametrize("text", ["2026-11-23T10:15:00", "yesterday", "", "2026-13-01T00:00:00Z"])
def test_a_time_without_offset_or_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as|month"):
        unix_ms_of(text)


def test_this_machines_clock_only_moves_forward_since_boot() -> None:
    clock = SystemClock()
    first = clock.uptime_ms()
    assert 0 < first <= clock.uptime_ms()
    assert clock.unix_ms() > 1_700_000_000_000
    assert clock.state() in ClockState
