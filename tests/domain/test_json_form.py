from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import pytest

from edge.domain.clock import ClockState
from edge.domain.json_form import JsonName, Whole, json_fields, json_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    poll_interval_s: float
    left_out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """What is written."""

    lost_for_s: Annotated[float, "Seconds."]
    before: Annotated[bool, JsonName("from"), "Said", "twice."]
    nothing: Whole | None
    clock: ClockState
    run: UUID
    inner: Inner
    by_name: Mapping[str, Inner]
    sequences: tuple[int, int] | None = None


OUTER = Outer(
    lost_for_s=1.5,
    before=True,
    nothing=None,
    clock=ClockState.SYNCHRONIZED,
    run=UUID(int=1),
    inner=Inner(poll_interval_s=2.0),
    by_name={"a_b": Inner(poll_interval_s=3.0, left_out="said")},
    sequences=(1, 2),
)


def test_names_are_in_camel_case_and_keys_of_mappings_stay_as_they_are() -> None:
    assert json_of(OUTER) == {
        "lostForS": 1.5,
        "from": True,
        "nothing": None,
        "clock": "synchronized",
        "run": "00000000-0000-0000-0000-000000000001",
        "inner": {"pollIntervalS": 2.0},
        "byName": {"a_b": {"pollIntervalS": 3.0, "leftOut": "said"}},
        "sequences": [1, 2],
    }


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.1 + 0.2, 0.3),
        (50 * 10 / 7, 71.4285714286),
        (-0.30000000000000004, -0.3),
        (1e308, 1e308),
        (5e-324, 5e-324),
        (1.0, 1.0),
    ],
)
def test_a_float_is_written_with_at_most_12_significant_digits(number: float, written: float) -> None:
    assert repr(json_of(Inner(poll_interval_s=number))["pollIntervalS"]) == repr(written)


def test_a_field_is_left_out_exactly_where_none_is_its_default_and_its_value() -> None:
    assert json_of(Inner(poll_interval_s=1.0)) == {"pollIntervalS": 1.0}
    assert {field.name for field in json_fields(Outer) if field.is_optional} == {"sequences"}


def test_texts_beside_a_type_describe_the_field() -> None:
    said = {field.name: field.description for field in json_fields(Outer)}
    assert (said["lost_for_s"], said["before"], said["nothing"]) == ("Seconds.", "Said twice.", None)
