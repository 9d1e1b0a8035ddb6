from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.collect.plausibility import corrected, judge, mistake
from edge.domain.reading import Quality, Reading, Reason, bad
from edge.domain.settable import PointConfiguration
from edge.domain.settings import Range, ValueType
from fakes.collect_site import point

UNCHANGED = PointConfiguration()


def reading(value: float, reason: Reason | None = None) -> Reading:
    quality = Quality.GOOD if reason is None else Quality.UNCERTAIN
    return Reading(value=value, unit="Cel", quality=quality, reason=reason)


@pytest.mark.parametrize(
    ("value", "gain", "offset", "expected"),
    [
        (21.4, 1.0, -0.3, 21.1),
        (21.4, 1.0, 0.0, 21.4),
        (0.1, 1.0, 0.2, 0.3),
        (1.1, 1.1, 0.0, 1.21),
        (1_000_000.1, 1.0, -1_000_000.0, 0.1),
        (12_345_678_901.2, 1.0, 0.1, 12_345_678_901.3),
        (20, 1.0, 0.5, 20.5),
        (0.3, -1.0, 0.3, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (-0.0, 2.0, 0.0, 0.0),
        (5e-324, 1.0, 1.0, 1.0),
        # The sum has a digit more before the point than both that it is made of.
        (9.87654321098, 1.0, 0.5, 10.376543211),
    ],
)
def test_a_corrected_value_is_what_one_would_write(value: float, gain: float, offset: float, expected: float) -> None:
    assert repr(corrected(value, gain=gain, offset=offset)) == repr(expected)


hundredths = st.integers(min_value=-100_000, max_value=100_000)
gains = st.integers(min_value=-2000, max_value=2000)


@given(value=hundredths, gain=gains, offset=hundredths)
def test_decimal_arithmetic_and_ours_agree_to_the_digit(value: int, gain: int, offset: int) -> None:
    exact = Decimal(gain) / 1000 * Decimal(value) / 100 + Decimal(offset) / 100
    assert corrected(value / 100, gain=gain / 1000, offset=offset / 100) == float(exact)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_rounding_changes_less_than_any_sensor_shows(value: float, gain: float, offset: float) -> None:
    plain = gain * value + offset
    result = corrected(value, gain=gain, offset=offset)
    largest = max(abs(gain * value), abs(offset))
    assert result == plain or abs(result - plain) <= 1e-11 * largest
    assert result == plain or result == float(f"{result:.12g}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.001 * 100_100, 100.1),
        (21.4, 21.4),
        (-1 / 3, -0.333333333333),
        (1.7976931348623157e308, 1.79769313486e308),
        (1_234_567_890_123_456, 1_234_567_890_123_456),
    ],
)
def test_a_number_with_a_fraction_is_rounded_to_12_digits(value: float, expected: float) -> None:
    judged = judge(reading(value), point(range=None), UNCHANGED)
    assert repr(judged.value) == repr(expected)
    assert (judged.unit, judged.quality, judged.reason) == ("Cel", Quality.GOOD, None)


def test_the_noise_of_a_scale_puts_no_value_out_of_range() -> None:
    assert judge(reading(100.10000000000001), point(range=Range(low=0, high=100.1)), UNCHANGED) == reading(100.1)


def test_a_value_out_of_range_is_uncertain_and_kept() -> None:
    judged = judge(reading(95.0), point(), UNCHANGED)
    assert judged == reading(95.0, Reason.OUT_OF_RANGE)


@pytest.mark.parametrize("value", [-40.0, 80.0, 21])
def test_both_ends_of_the_range_are_good(value: float) -> None:
    original = reading(value)
    assert judge(original, point(), UNCHANGED) is original


def test_the_range_is_checked_before_gain_and_offset() -> None:
    high = PointConfiguration(offset=10.0)
    assert judge(reading(75.0), point(), high) == reading(85.0)
    assert judge(reading(81.0), point(), PointConfiguration(offset=-10.0)) == reading(71.0, Reason.OUT_OF_RANGE)


def test_the_drivers_doubt_is_kept() -> None:
    judged = judge(reading(95.0, Reason.UNCOMPENSATED), point(), PointConfiguration(offset=1.0))
    assert judged == reading(96.0, Reason.UNCOMPENSATED)


def test_a_bad_reading_passes_untouched() -> None:
    fault = bad(Reason.SENSOR_FAULT, "Cel")
    assert judge(fault, point(), PointConfiguration(offset=1.0)) is fault


@pytest.mark.parametrize(("kind", "value"), [(ValueType.BOOLEAN, True), (ValueType.TEXT, "open")])
def test_what_is_not_a_number_passes_untouched(kind: ValueType, value: bool | str) -> None:
    original = Reading(value=value, unit=None)
    settings = point("state", type=kind, unit=None, range=Range(low=5, high=6))
    assert judge(original, settings, PointConfiguration(offset=1.0, gain=2.0)) is original


def test_a_correction_beyond_all_numbers_is_bad_not_infinite() -> None:
    judged = judge(reading(1e308), point(range=None), PointConfiguration(gain=100.0))
    assert judged == bad(Reason.SENSOR_FAULT, "Cel")


@pytest.mark.parametrize(
    ("kind", "value", "is_allowed"),
    [
        (ValueType.NUMBER, 1.5, True),
        (ValueType.NUMBER, 1, True),
        (ValueType.NUMBER, True, False),
        (ValueType.NUMBER, "1", False),
        (ValueType.BOOLEAN, True, True),
        (ValueType.BOOLEAN, 1, False),
        (ValueType.TEXT, "x", True),
        (ValueType.TEXT, 1.0, False),
    ],
)
def test_a_value_of_another_type_than_the_points_is_a_mistake(
    kind: ValueType, value: float | bool | str, is_allowed: bool
) -> None:
    assert (mistake(Reading(value=value, unit="Cel"), point(type=kind)) is None) == is_allowed


def test_another_unit_is_a_mistake_that_names_both() -> None:
    said = mistake(Reading(value=70.0, unit="[degF]"), point())
    assert said == "air_temperature is in '[degF]'; its unit is 'Cel'"
