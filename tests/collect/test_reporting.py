from hypothesis import given
from hypothesis import strategies as st

from edge.collect.reporting import Reported, is_reportable, select
from edge.domain.reading import Quality, Reading, Reason, bad
from edge.domain.settable import PointConfiguration

TENTH = PointConfiguration(deadband=0.1, max_silence_s=600.0)


def reading(value: float) -> Reading:
    return Reading(value=value, unit="Cel")


def said(value: float, at_s: float = 0.0) -> Reported:
    return Reported(reading(value), at_s)


def test_everything_is_reported_without_a_deadband() -> None:
    assert is_reportable(reading(21.4), said(21.4), PointConfiguration(), now_s=1.0)


def test_the_first_reading_is_reported() -> None:
    assert is_reportable(reading(21.4), None, TENTH, now_s=1.0)


def test_a_reading_inside_the_deadband_is_not_reported() -> None:
    assert not is_reportable(reading(21.45), said(21.4), TENTH, now_s=1.0)


def test_a_change_of_exactly_the_deadband_lies_inside_in_both_directions() -> None:
    assert not is_reportable(reading(21.5), said(21.4), TENTH, now_s=1.0)
    assert not is_reportable(reading(21.3), said(21.4), TENTH, now_s=1.0)
    assert is_reportable(reading(21.51), said(21.4), TENTH, now_s=1.0)
    assert is_reportable(reading(21.29), said(21.4), TENTH, now_s=1.0)


def test_the_heartbeat_is_reported_though_nothing_changed() -> None:
    assert not is_reportable(reading(21.4), said(21.4, at_s=10.0), TENTH, now_s=609.9)
    assert is_reportable(reading(21.4), said(21.4, at_s=10.0), TENTH, now_s=610.0)


def test_the_heartbeat_comes_with_the_nearest_poll_not_with_the_one_after() -> None:
    assert is_reportable(reading(21.4), said(21.4), TENTH, now_s=599.998, slack_s=5.0)
    assert not is_reportable(reading(21.4), said(21.4), TENTH, now_s=590.0, slack_s=5.0)


def test_a_change_of_quality_or_reason_is_always_reported() -> None:
    doubtful = Reading(value=21.4, unit="Cel", quality=Quality.UNCERTAIN, reason=Reason.OUT_OF_RANGE)
    stale = Reading(value=21.4, unit="Cel", quality=Quality.UNCERTAIN, reason=Reason.STALE)
    assert is_reportable(doubtful, said(21.4), TENTH, now_s=1.0)
    assert is_reportable(stale, Reported(doubtful, 0.0), TENTH, now_s=1.0)
    assert is_reportable(bad(Reason.SENSOR_FAULT, "Cel"), said(21.4), TENTH, now_s=1.0)
    assert is_reportable(reading(21.4), Reported(bad(Reason.SENSOR_FAULT, "Cel"), 0.0), TENTH, now_s=1.0)


def test_a_reading_that_stays_bad_waits_for_the_heartbeat() -> None:
    fault = bad(Reason.SENSOR_FAULT, "Cel")
    assert not is_reportable(fault, Reported(fault, 0.0), TENTH, now_s=1.0)
    assert is_reportable(fault, Reported(fault, 0.0), TENTH, now_s=600.0)


def test_a_deadband_at_text_or_boolean_reports_changes() -> None:
    closed, opened = Reading(value="closed", unit=None), Reading(value="open", unit=None)
    assert is_reportable(opened, Reported(closed, 0.0), TENTH, now_s=1.0)
    assert not is_reportable(closed, Reported(closed, 0.0), TENTH, now_s=1.0)
    on, off = Reading(value=True, unit=None), Reading(value=False, unit=None)
    assert is_reportable(on, Reported(off, 0.0), TENTH, now_s=1.0)


def test_each_point_decides_for_itself() -> None:
    chosen = select(
        {"a": reading(1.0), "b": reading(5.0)},
        {"a": said(1.0), "b": said(1.0)},
        {"a": TENTH, "b": TENTH},
        now_s=1.0,
    )
    assert chosen == {"b": reading(5.0)}


@given(
    values=st.lists(st.floats(min_value=-50, max_value=50), min_size=1, max_size=100),
    deadband=st.floats(min_value=0.01, max_value=5),
)
def test_what_readers_know_is_never_further_off_than_the_deadband_nor_older_than_the_heartbeat(
    values: list[float], deadband: float
) -> None:
    configuration = PointConfiguration(deadband=deadband, max_silence_s=10.0)
    last: Reported | None = None
    for moment_s, value in enumerate(values):
        if is_reportable(reading(value), last, configuration, now_s=float(moment_s)):
            last = said(value, float(moment_s))
        assert last is not None
        assert isinstance(last.reading.value, float)
        assert abs(last.reading.value - value) <= deadband * (1 + 1e-9)
        assert moment_s - last.at_s < 10.0
