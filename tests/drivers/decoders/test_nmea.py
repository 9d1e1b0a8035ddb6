import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.nmea import NmeaDecoder, checksum
from drivers.decoders.values import ValueCodec
from edge.domain.reading import Reason
from fakes.value_points import value_point


def fields(body: str) -> dict[str, Field]:
    """The fields of a sentence with the right checksum."""
    return dict(NmeaDecoder().fields(f"${body}*{checksum(body.encode()):02x}".encode()))


def test_any_talker_may_tell_the_wind() -> None:
    for talker in ("WI", "II", "YX", "WX"):
        assert fields(f"{talker}MWV,212.6,R,5.8,M,A")["MWV.speed"] == Field("5.8", unit="m/s")


@pytest.mark.parametrize(
    ("letter", "unit"), [("N", "[kn_i]"), ("M", "m/s"), ("K", "km/h"), ("S", "[mi_i]/h"), ("B", "{B}"), ("", "{}")]
)
def test_the_letter_of_a_wind_speed_is_its_unit(letter: str, unit: str | None) -> None:
    assert fields(f"WIMWV,212.6,R,5.8,{letter},A")["MWV.speed"] == Field("5.8", unit=unit)


def test_both_references_can_be_told_apart() -> None:
    relative, theoretical = fields("WIMWV,10,R,1,M,A"), fields("WIMWV,20,T,2,M,A")
    assert relative.keys() == {"MWV.angle", "MWV.speed", "MWV.R.angle", "MWV.R.speed"}
    assert theoretical.keys() == {"MWV.angle", "MWV.speed", "MWV.T.angle", "MWV.T.speed"}


def test_a_void_wind_has_no_value_though_numbers_are_there() -> None:
    assert {field.reason for field in fields("WIMWV,99.0,R,99.0,N,V").values()} == {Reason.SENSOR_FAULT}


def test_an_empty_field_has_no_value() -> None:
    assert fields("WIMWV,,R,,N,A")["MWV.angle"].value is None
    assert fields("WIXDR,C,,C,TempAir")["XDR.TempAir"].value is None


def test_transducers_are_named_by_type_and_name() -> None:
    assert fields("WIXDR,C,19.5,C,AIR,H,55.0,P,AIR,C,17.0,C,2,P,1013.2,H,0") == {
        "XDR.C.AIR": Field("19.5", unit="Cel"),
        "XDR.H.AIR": Field("55.0", unit="%"),
        # The short name is the last one's that has it.
        "XDR.AIR": Field("55.0", unit="%"),
        "XDR.C.2": Field("17.0", unit="Cel"),
        "XDR.P.0": Field("1013.2", unit="hPa"),
    }


def test_nameless_transducers_are_counted_by_type() -> None:
    assert {name: field.value for name, field in fields("WIXDR,C,7,C,,U,4.1,V,,C,8,C,").items()} == {
        "XDR.C.0": "7",
        "XDR.U.0": "4.1",
        "XDR.C.1": "8",
    }


@pytest.mark.parametrize(
    "torn", ["WIXDR,C,35.2,C,", "WIXDR,C,35.2,C,2,U,3.5,V,", "WIXDR,C,35.2,C,2,U,3.5,V,1", "WIXDR,C,7,C,,"]
)
def test_without_a_checksum_a_last_name_may_have_lost_its_end(torn: str) -> None:
    with pytest.raises(FrameMalformed, match="may have lost its end"):
        NmeaDecoder().fields(f"${torn}".encode())
    assert fields(torn)


def test_a_named_transducer_needs_no_checksum() -> None:
    assert NmeaDecoder().fields(b"$WIXDR,C,7,C,,C,19.5,C,AIR")["XDR.C.AIR"] == Field("19.5", unit="Cel")


def test_one_comma_too_many_is_let_pass() -> None:
    assert fields("WIXDR,C,022.0,C,,") == {"XDR.C.0": Field("022.0", unit="Cel")}
    with pytest.raises(FrameMalformed):
        fields("WIXDR,")


@pytest.mark.parametrize(
    ("transducer", "unit"),
    [
        ("P,1.0132,B", "bar"),
        ("P,101320,P", "Pa"),
        ("P,760,M", "mm[Hg]"),
        ("C,70.0,F", "[degF]"),
        ("C,70.0,Q", "{Q}"),
        ("U,28.3,N", "V"),
        ("V,0.02,M", None),
        ("V,0.02,I", "[in_i]"),
        ("R,0.1,I", "[in_i]/h"),
        ("Z,30,s", "s"),
        ("G,HEL/___,", None),
        ("N,3,N", None),
    ],
)
def test_the_letter_of_a_transducer_is_its_unit(transducer: str, unit: str | None) -> None:
    assert fields(f"WIXDR,{transducer},X")["XDR.X"].unit == unit


def test_hectopascals_under_the_letter_of_bar_are_not_guessed_at() -> None:
    field = fields("IIXDR,P,1013.2,B,Barometer")["XDR.Barometer"]
    # A thousand times too high: the collector's range check says so.
    assert ValueCodec(value_point("air_pressure")).reading(field.value, unit=field.unit).value == 1_013_200.0


def test_a_meteorological_composite_has_its_fixed_places() -> None:
    found = fields("WIMDA,29.7544,I,1.0076,B,35.5,C,17.5,C,42.1,,20.6,C,116.4,T,107.7,M,1.2,N,0.6,M")
    assert found["MDA.pressure"] == Field("1.0076", unit="bar")
    assert found["MDA.air_temperature"] == Field("35.5", unit="Cel")
    assert found["MDA.water_temperature"] == Field("17.5", unit="Cel")
    assert found["MDA.relative_humidity"] == Field("42.1", unit="%")
    assert found["MDA.absolute_humidity"].value is None
    assert found["MDA.dew_point"] == Field("20.6", unit="Cel")
    assert found["MDA.direction_true"] == Field("116.4", unit="deg")
    assert found["MDA.speed"] == Field("0.6", unit="m/s")


def test_single_values_have_their_sentences() -> None:
    assert fields("WIMTA,-25.0,C") == {"MTA.temperature": Field("-25.0", unit="Cel")}
    assert fields("YXMTW,17.5,C") == {"MTW.temperature": Field("17.5", unit="Cel")}
    assert fields("WIMMB,29.9,I,1.0125,B") == {"MMB.pressure": Field("1.0125", unit="bar")}
    assert fields("WIMHU,42.1,,20.6,C")["MHU.relative_humidity"] == Field("42.1", unit="%")


@pytest.mark.parametrize("body", ["GPRMC,081836,A,3751.65,S", "PGRMZ,246,f,3", "PAMWV,1,R,2,M,A", "WITXT,01,01,08,x"])
def test_sentences_about_something_else_give_nothing(body: str) -> None:
    assert fields(body) == {}


@pytest.mark.parametrize(
    "body",
    [
        "WIMWV,212.6,R,5.8,N",
        "WIMWV,212.6,R,5.",
        "WIMWV,212.6,Q,5.8,N,A",
        "WIMWV,212.6,R,5.8,N,X",
        "WIMWV,212.6,R,5.8,N,A,extra",
        "WIXDR",
        "WIXDR,C,022.0,C",
        "WIXDR,C,022.0,C,,U,4",
        "IIMWD,020.0,T,022.0,M,8.8,N,4.5",
        "IIMWD,020.0,M,022.0,M,8.8,N,4.5,M",
        "WIMDA,,,1.0076,B",
        "YXMTW,17.5,F",
    ],
)
def test_a_sentence_that_is_not_whole_is_refused(body: str) -> None:
    with pytest.raises(FrameMalformed):
        fields(body)
    with pytest.raises(FrameMalformed):
        NmeaDecoder().fields(f"${body}".encode())


@pytest.mark.parametrize(
    "line",
    [
        b"$WIMWV,212.6,R,5.8,N,A*28",
        b"$WIMWV,213.6,R,5.8,N,A*29",
        b"$WIMWV,212.6,R,5.8,N,A*2",
        b"$WIMWV,212.6,R,5.8,N,A*",
        b"$WIMWV,212.6,R,5.8,N,A*299",
        b"$WIMWV,212.6,R,5.8,N,A*zz",
    ],
)
def test_a_checksum_that_is_there_must_be_right(line: bytes) -> None:
    with pytest.raises(FrameMalformed, match="wrong checksum"):
        NmeaDecoder().fields(line)


@pytest.mark.parametrize(
    "line", [b"hello", b"$", b"WIMWV,212.6,R,5.8,N,A*29", b"$WIMWV,212.6,R,5.8,N,A\xff*29", b"$*00"]
)
def test_what_is_no_sentence_is_refused(line: bytes) -> None:
    with pytest.raises(FrameMalformed, match="no NMEA sentence"):
        NmeaDecoder().fields(line)


@pytest.mark.parametrize("noise", [b"$WIMWV,21", b"\x1b[0m!!", b"5.8,N,A*29"])
def test_a_sentence_is_found_behind_noise_on_its_line(noise: bytes) -> None:
    assert NmeaDecoder().fields(noise + b"$WIMWV,212.6,R,5.8,N,A*29")["MWV.angle"].value == "212.6"


@given(angle=st.integers(0, 3599), speed=st.integers(0, 999), reference=st.sampled_from("RT"))
@settings(deadline=None)
def test_a_wind_that_was_written_is_read_again(angle: int, speed: int, reference: str) -> None:
    found = fields(f"WIMWV,{angle / 10:05.1f},{reference},{speed / 10:05.1f},M,A")
    assert ValueCodec(value_point("wind_direction")).reading(found["MWV.angle"].value).value == angle / 10
    assert ValueCodec(value_point("wind_speed")).reading(found[f"MWV.{reference}.speed"].value).value == speed / 10


@given(data=st.data())
@settings(deadline=None)
def test_one_changed_character_is_always_noticed(data: st.DataObject) -> None:
    line = bytearray(b"$IIXDR,P,1.02481,B,Barometer,C,19.52,C,TempAir*07")
    line[-2:] = f"{checksum(bytes(line[1:-3])):02X}".encode()
    place = data.draw(st.integers(1, len(line) - 4))
    line[place] = data.draw(st.sampled_from([byte for byte in range(0x20, 0x7F) if byte not in (line[place], *b"$!*")]))
    with pytest.raises(FrameMalformed, match="wrong checksum"):
        NmeaDecoder().fields(bytes(line))
