import math
from collections.abc import Callable
from typing import cast

import pytest

from edge.domain.reading import Origin, Quality, Reading, Reason, Redelivery, Sample, bad


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


def named(delivery: object, redelivery: object = None, origin: object = Origin.LIVE) -> Sample:
    return Sample(
        device_id="a",
        readings={"p": Reading(value=1, unit=None)},
        source_key=b"key",
        origin=cast("Origin", origin),
        delivery=cast("bytes", delivery),
        redelivery=cast("Redelivery | None", redelivery),
    )


def test_a_delivery_has_a_name_of_eight_bytes_beside_a_source_key() -> None:
    named(b"delivery", Redelivery(of=b"", is_certain=False)).check()
    with pytest.raises(ValueError, match="8 bytes"):
        named(b"name")
    with pytest.raises(ValueError, match="beside a source_key"):
        Sample(device_id="a", readings={"p": Reading(value=1, unit=None)}, delivery=b"delivery")


@pytest.mark.parametrize(
    ("sample", "wrong"),
    [
        (lambda: named("delivery"), "delivery is of type str"),
        (lambda: named(b"delivery", b"earlier "), "redelivery is of type bytes"),
        (lambda: named(b"delivery", Redelivery(of=cast("bytes", 7), is_certain=True)), "of is of type int"),
        (lambda: named(b"delivery", origin=Origin.REDELIVERED), "for the collector to say"),
    ],
)
def test_what_a_driver_says_of_a_delivery_is_checked(sample: Callable[[], Sample], wrong: str) -> None:
    with pytest.raises((TypeError, ValueError), match=wrong):
        sample().check()
