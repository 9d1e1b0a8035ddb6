import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.values import ValueCodec
from drivers.decoders.wxt import WxtDecoder
from edge.domain.reading import Quality, Reason, bad
from fakes.value_points import value_point


def fields(line: str) -> dict[str, Field]:
    return dict(WxtDecoder().fields(line.encode()))


@pytest.mark.parametrize(
    ("part", "unit"),
    [
        ("Dm=283D", "deg"),
        ("Sm=1.0M", "m/s"),
        ("Sm=1.0K", "km/h"),
        ("Sm=1.0S", "[mi_i]/h"),
        ("Sm=1.0N", "[kn_i]"),
        ("Ta=-16.0C", "Cel"),
        ("Ta=70.1F", "[degF]"),
        ("Ua=50.0P", "%"),
        ("Pa=1018.1H", "hPa"),
        ("Pa=101810P", "Pa"),
        ("Pa=1.0181B", "bar"),
        ("Pa=763.6M", "mm[Hg]"),
        ("Pa=30.06I", "[in_i'Hg]"),
        ("Rc=0.10M", "mm"),
        ("Rc=0.004I", "[in_i]"),
        ("Ri=2.7M", "mm/h"),
        ("Ri=0.11I", "[in_i]/h"),
        ("Rd=30s", "s"),
        ("Hc=3H", "1"),
        ("Hc=0.1M", "{M}"),
        ("Vh=12.0W", "V"),
        ("Sr=0.4V", None),
    ],
)
def test_a_letter_means_the_unit_that_its_key_can_have(part: str, unit: str | None) -> None:
    key, _, value = part.partition("=")
    assert fields(f"0R0,{part}") == {key: Field(value[:-1], unit=unit)}


@pytest.mark.parametrize("part", ["Pa=1018.1H", "Pa=1.0181B", "Pa=101810P"])
def test_another_unit_at_the_instrument_gives_the_same_pressure(part: str) -> None:
    field = fields(f"0R0,{part}")["Pa"]
    codec = ValueCodec(value_point("air_pressure"))
    assert codec.reading(field.value, unit=field.unit).value == 1018.1


def test_a_letter_that_the_key_cannot_have_gives_no_value() -> None:
    field = fields("0R0,Pa=1018.1Q")["Pa"]
    codec = ValueCodec(value_point("air_pressure"))
    assert codec.reading(field.value, unit=field.unit) == bad(Reason.SENSOR_FAULT, "hPa")


def test_an_invalid_value_leaves_the_others_of_its_line() -> None:
    found = fields("0R0,Dm=106#,Ta=16.0C")
    assert found == {"Dm": Field(None, reason=Reason.SENSOR_FAULT), "Ta": Field("16.0", unit="Cel")}


def test_a_text_is_no_number() -> None:
    assert fields("0R5,Id=Ant,Vs=15.2V")["Id"] == Field("Ant")


@pytest.mark.parametrize(
    "line", ["0", "0TX,Start-up", "TX,Rain reset", "0XU,A=0,M=P,C=2,I=0", "0WU", "0RU,R=1111&0000"]
)
def test_settings_and_announcements_hold_no_values(line: str) -> None:
    assert fields(line) == {}


@pytest.mark.parametrize("line", ["0TX,Unknown cmd error", "TX,Sync/address error"])
def test_a_question_that_is_not_taken_is_told_in_the_instruments_words(line: str) -> None:
    with pytest.raises(FrameMalformed, match=line.partition(",")[2]):
        fields(line)


@pytest.mark.parametrize(
    "line",
    [
        "0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2",
        "0R1,Dn=236D,Dm=28Dx=031D",
        "0R1,Dn=236D,",
        "0R1,Dn=236D,Dm=",
        "0R1,Dn=236D,Dm",
        "0R1,Dn=2 6D",
        "0R1,Dn=23.D",
        "0R1,=236D",
        "0R1,Dn=236Dm=283D",
        "0R1",
        "R1,Dn=236D",
        "Dm=283D,Dx=031D",
        "0r1,Dn=236D,Sx=2.2MGne",
        "0R1,Id=A=B",
        "hello",
        "0R1,Dn=236D\x00",
    ],
)
def test_a_line_with_a_hole_is_refused_as_a_whole(line: str) -> None:
    with pytest.raises(FrameMalformed):
        fields(line)


@given(
    direction=st.integers(0, 359),
    speed=st.integers(0, 600),
    temperature=st.integers(-520, 600),
    address=st.sampled_from("0123456789ABZabz"),
)
@settings(deadline=None)
def test_what_was_written_is_read_again(direction: int, speed: int, temperature: int, address: str) -> None:
    found = fields(f"{address}R0,Dm={direction:03}D,Sm={speed / 10:05.1f}M,Ta={temperature / 10:.1f}C")
    expected = {
        "Dm": ("wind_direction", direction),
        "Sm": ("wind_speed", speed / 10),
        "Ta": ("outside_temperature", temperature / 10),
    }
    for key, (quantity, value) in expected.items():
        reading = ValueCodec(value_point(quantity)).reading(found[key].value, unit=found[key].unit)
        assert reading.value == value
        assert reading.quality is Quality.GOOD
