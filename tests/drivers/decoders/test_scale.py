import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.scale import ScaleDecoder
from drivers.decoders.values import ValueCodec
from edge.domain.reading import Reading, Reason, bad
from fakes.value_points import value_point


def fields(line: str) -> dict[str, Field]:
    return dict(ScaleDecoder().fields(line.encode()))


def weight(line: str, *, scale: float = 1.0) -> Reading:
    field = fields(line)["weight"]
    return ValueCodec(value_point("mass", scale=scale)).reading(field.value, unit=field.unit, reason=field.reason)


@pytest.mark.parametrize(
    ("line", "kilograms"),
    [
        ("ST,GS,+00045.0kg", 45.0),
        ("ST,GS,+ 7.16 kg", 7.16),
        ("ST,GS, 12.345 kg", 12.345),
        ("US,NT,-00003.5kg", -3.5),
        ("ST,GS,- 3.5 KG", -3.5),
        ("ST,GS,  0.500,kg", 0.5),
        ("ST , NT , 250 g", 0.25),
        ("ST,GS,1.25t", 1250.0),
        ("ST,GS,+0010.0lb", 4.5359237),
        ("ST,GS,16oz", 0.45359237),
        ("ST,GS,-0.0kg", 0.0),
        ("ST,GS,+00045.0", 45.0),
    ],
)
def test_a_weight_is_read_in_the_unit_that_the_scale_names(line: str, kilograms: float) -> None:
    assert weight(line) == Reading(value=kilograms, unit="kg")


def test_decimals_that_the_scale_leaves_out_are_in_the_profile() -> None:
    assert weight("ST,GS,+001234", scale=0.01).value == 12.34


@pytest.mark.parametrize(
    ("line", "stable", "net"),
    [
        ("ST,GS,+00045.0kg", True, False),
        ("US,GS,+00045.0kg", False, False),
        ("ST,NT,+00045.0kg", True, True),
    ],
)
def test_a_line_says_whether_the_weight_is_stable_and_net(line: str, stable: bool, net: bool) -> None:
    found = fields(line)
    assert (found["stable"].value, found["net"].value) == (stable, net)


@pytest.mark.parametrize("line", ["OL,GS,+99999.9kg", "OL,GS", "OL", "OL,NT,------kg", "OL,GS,        kg"])
def test_an_overloaded_scale_has_no_weight(line: str) -> None:
    assert weight(line) == bad(Reason.SENSOR_FAULT, "kg")
    assert fields(line)["stable"].value is False


def test_pieces_are_no_weight() -> None:
    assert weight("ST,GS,12pcs") == bad(Reason.SENSOR_FAULT, "kg")


@pytest.mark.parametrize(
    "line",
    [
        "ST,GS,+0004",
        "ST,GS,+00045.",
        "ST,GS,+",
        "ST,GS,",
        "ST,GS",
        "ST,GS,kg",
        "ST,+00045.0kg",
        "GS,+00045.0kg",
        "00045.0kg",
        "XX,GS,+00045.0kg",
        "ST,GS,+00045.0kg,1",
        "ST,GS,+0004ST,GS,+00045.0kg",
        "ST,GS,+0x045.0kg",
        "OLD",
    ],
)
def test_a_line_that_is_not_whole_is_refused(line: str) -> None:
    with pytest.raises(FrameMalformed):
        fields(line)


def test_another_terminator_ends_a_weighing() -> None:
    assert list(ScaleDecoder(terminator="\r").feed(b"ST,GS,1kg\rST,GS,2kg\r")) == [b"ST,GS,1kg", b"ST,GS,2kg"]


@given(
    grams=st.integers(-9_999_999, 9_999_999),
    blank=st.sampled_from(("", " ", "  ")),
    state=st.sampled_from(("ST", "US")),
)
@settings(deadline=None)
def test_a_weight_that_was_written_is_read_again(grams: int, blank: str, state: str) -> None:
    sign = "-" if grams < 0 else "+"
    line = f"{state},GS,{sign}{blank}{abs(grams) / 1000:08.3f}{blank}kg"
    assert weight(line).value == grams / 1000
