import math

import pytest

from edge.domain.reading import Quality, Reading, Reason, Sample, bad


def test_a_bad_reading_has_a_reason_and_never_a_value() -> None:
    reading = bad(Reason.SENSOR_FAULT, "Cel")
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    with pytest.raises(ValueError, match="no value"):
        Reading(value=0.0, unit="Cel", quality=Quality.BAD, reason=Reason.COMM_ERROR)
    with pytest.raises(ValueError, match="no value"):
        Reading(value=None, unit="Cel", quality=Quality.BAD)
    with pytest.raises(ValueError, match="no value"):
        Reading(value=None, unit="Cel", quality=Quality.BAD, reason=Reason.OUT_OF_RANGE)


def test_a_reading_that_is_not_bad_has_a_value() -> None:
    with pytest.raises(ValueError, match="has a value"):
        Reading(value=None, unit="Cel")


def test_only_an_uncertain_reading_has_a_reason_and_a_value() -> None:
    Reading(value=1, unit="Cel", quality=Quality.UNCERTAIN, reason=Reason.STALE)
    for quality, reason in (
        (Quality.GOOD, Reason.STALE),
        (Quality.UNCERTAIN, None),
        (Quality.UNCERTAIN, Reason.COMM_ERROR),
    ):
        with pytest.raises(ValueError, match="uncertain"):
            Reading(value=1, unit="Cel", quality=quality, reason=reason)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_no_value(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Reading(value=value, unit="Cel")


def test_zero_and_false_are_values() -> None:
    assert Reading(value=0, unit="Cel").value == 0
    assert Reading(value=False, unit=None).value is False


def test_a_sample_says_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Sample(device_id="a", readings={})
    with pytest.raises(ValueError, match="16"):
        Sample(device_id="a", readings={"p": Reading(value=1, unit=None)}, source_key=b"x" * 17)
