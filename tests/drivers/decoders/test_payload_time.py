from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.json_path import MISSING
from drivers.decoders.payload import JsonValue
from drivers.decoders.payload_time import TimeFormat, Window, time_ms, zone_of

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("raw", "form", "expected"),
    [
        ("2021-06-27T15:03:44+02:00", "iso", "2021-06-27T13:03:44Z"),
        ("2021-06-27T15:03:44", "iso", "2021-06-27T13:03:44Z"),
        ("2021-01-02 09:09:44", "iso", "2021-01-02T08:09:44Z"),
        (" 2023-04-08T14:07:59Z ", "iso", "2023-04-08T14:07:59Z"),
        ("2023-04-08T14:07:59.123456789Z", "iso", "2023-04-08T14:07:59.123Z"),
        (1680962879.62, "epoch_s", "2023-04-08T14:07:59.620Z"),
        (1680962879, "epoch_s", "2023-04-08T14:07:59Z"),
        ("1680962879.62", "epoch_s", "2023-04-08T14:07:59.620Z"),
        (1486144502122, "epoch_ms", "2017-02-03T17:55:02.122Z"),
        (1680962879123456789, "epoch_ns", "2023-04-08T14:07:59.123Z"),
    ],
)
def test_a_time_is_read_as_it_is_written(raw: JsonValue, form: TimeFormat, expected: str) -> None:
    assert time_ms(raw, form, AMSTERDAM, near_ms=0) == ms(expected)


@pytest.mark.parametrize("form", ["iso", "epoch_s", "epoch_ms", "epoch_ns"])
@pytest.mark.parametrize("raw", [MISSING, None, "", "soon", [], {}, True, "2021-06-27", "2021-13-27T15:03:44"])
def test_what_is_no_time_says_nothing(raw: JsonValue, form: TimeFormat) -> None:
    assert time_ms(raw, form, AMSTERDAM, near_ms=0) is None


def test_an_iso_time_is_no_number_and_an_epoch_no_iso_time() -> None:
    assert time_ms(1680962879, "iso", AMSTERDAM, near_ms=0) is None
    assert time_ms("2021-06-27T15:03:44Z", "epoch_s", AMSTERDAM, near_ms=0) is None


@pytest.mark.parametrize("received", ["2024-10-27T00:31:00Z", "2024-10-27T01:31:00Z"])
def test_of_the_hour_that_comes_twice_the_one_nearer_to_the_arrival_is_meant(received: str) -> None:
    at_ms = time_ms("2024-10-27T02:30:00", "iso", AMSTERDAM, near_ms=ms(received))
    assert at_ms == ms(received) - 60_000


def test_a_time_without_a_zone_says_nothing_where_no_zone_is_known() -> None:
    assert zone_of("Nowhere/Land") is None
    assert time_ms("2021-06-27T15:03:44", "iso", None, near_ms=0) is None
    assert time_ms("2021-06-27T15:03:44Z", "iso", None, near_ms=0) is not None


@pytest.mark.parametrize(
    ("age", "is_possible"),
    [
        (timedelta(days=6), True),
        (timedelta(days=8), False),
        (timedelta(minutes=-4), True),
        (timedelta(minutes=-6), False),
        (timedelta(days=365 * 50), False),
    ],
)
def test_a_time_far_from_the_arrival_is_that_of_a_wrong_clock(age: timedelta, is_possible: bool) -> None:
    received_at_ms = ms("2024-05-01T12:00:00Z")
    assert Window().holds(received_at_ms - age / timedelta(milliseconds=1), received_at_ms) is is_possible


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_any_moment_comes_back(moment: datetime) -> None:
    at_ms = time_ms(moment.isoformat(), "iso", None, near_ms=0)
    assert at_ms is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms) == moment.replace(
        microsecond=moment.microsecond // 1000 * 1000
    )


@settings(deadline=None)
@given(st.datetimes() | st.text() | st.floats() | st.integers(), st.sampled_from(["iso", "epoch_s", "epoch_ns"]))
def test_anything_is_a_time_or_none(raw: object, form: TimeFormat) -> None:
    value = raw.isoformat() if isinstance(raw, datetime) else raw
    assert isinstance(value, str | float | int)
    at_ms = time_ms(value, form, AMSTERDAM, near_ms=0)
    assert at_ms is None or isinstance(at_ms, int)
