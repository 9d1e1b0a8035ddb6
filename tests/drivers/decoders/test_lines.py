import pytest

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.lines import JSON_DEPTH_MAX, PATTERN_LINE_LENGTH_MAX, Layout, LineDecoder

WATER_NODE = r"raw=(?P<raw>-?\d+)\s+depth=(?P<depth>-?\d+) mm"
BOOT = b"ets Jun  8 2016 00:22:57, rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"


def values(decoder: LineDecoder, line: bytes) -> dict[str, object]:
    return {name: field.value for name, field in decoder.fields(line).items()}


@pytest.mark.parametrize(
    ("separator", "line", "parts"),
    [
        (",", b"21.8,55.2", ["21.8", "55.2"]),
        (",", b" 21.8 , 55.2 ,", ["21.8", "55.2", None]),
        (",", b"21.8,,55.2", ["21.8", None, "55.2"]),
        (",", b'"2026-11-23 10:15:00",17,21.8,"ok"', ["2026-11-23 10:15:00", "17", "21.8", "ok"]),
        (";", b"21,8;55.2", ["21,8", "55.2"]),
        ("\t", b"21.8\t\t55.2", ["21.8", None, "55.2"]),
        (" ", b"  21.8   55.2 ", ["21.8", "55.2"]),
        (",", b"21.8", ["21.8"]),
        (",", b"nan,nan", ["nan", "nan"]),
        (",", b"OVER", ["OVER"]),
        (",", b"ON,closed", ["ON", "closed"]),
    ],
)
def test_csv_fields_are_counted_from_zero(separator: str, line: bytes, parts: list[str | None]) -> None:
    decoder = LineDecoder(layout="csv", separator=separator)
    assert values(decoder, line) == {str(number): part for number, part in enumerate(parts)}


@pytest.mark.parametrize("line", [b"temperature,humidity", b"WiFi connected?", b"\xff\xfe\xfa", BOOT])
def test_a_csv_line_without_any_value_is_no_sample(line: bytes) -> None:
    with pytest.raises(FrameMalformed, match="holds no value"):
        LineDecoder().fields(line)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"raw=153  depth=127 mm", {"raw": Field("153"), "depth": Field("127", unit="mm")}),
        (b"raw=153,depth=12.7cm", {"raw": Field("153"), "depth": Field("12.7", unit="cm")}),
        (b"temp: 21.5 C; hum: 40 %", {"temp": Field("21.5", unit="Cel"), "hum": Field("40", unit="%")}),
        ("t=-3.5°C".encode(), {"t": Field("-3.5", unit="Cel")}),
        (b"count=12 pulses", {"count": Field("12", unit="{pulses}")}),
        (b"t=294.9 K depth=5 inch", {"t": Field("294.9", unit="K"), "depth": Field("5", unit="[in_i]")}),
        (b"t=21.8 error depth=2 fathoms", {"t": Field("21.8", unit="{error}"), "depth": Field("2", unit="{fathoms}")}),
        (b"state=pump on level=3", {"state": Field("pump on"), "level": Field("3")}),
        (b"a= b=nan c=---", {"a": Field(None), "b": Field("nan"), "c": Field("---")}),
        (b"12:30:05 ec.tank-1=2.1 mS/cm", {"ec.tank-1": Field("2.1", unit="mS/cm")}),
    ],
)
def test_keys_are_found_with_their_values_and_units(line: bytes, fields: dict[str, Field]) -> None:
    assert LineDecoder(layout="key_value").fields(line) == fields


@pytest.mark.parametrize("text", ["0x1F", "21,8", "12.5.3", "5 of 10", "12e", "3-4", "12fathoms"])
def test_a_number_with_something_strange_behind_it_is_not_cut_to_a_number(text: str) -> None:
    assert values(LineDecoder(layout="key_value"), f"v={text}".encode()) == {"v": text}


@pytest.mark.parametrize("line", [b"hello", b"= 5", b"12:30:05", b"=", b"\xff"])
def test_a_line_without_a_key_is_refused(line: bytes) -> None:
    with pytest.raises(FrameMalformed, match="holds no key and value"):
        LineDecoder(layout="key_value").fields(line)


def test_a_json_object_is_named_with_dots() -> None:
    line = b'{"id": "bench 3", "air": {"t": 21.8, "rh": null}, "ec": [1.2, 2], "on": true, "bad": NaN, "none": {}}'
    assert values(LineDecoder(layout="json"), line) == {
        "id": "bench 3",
        "air.t": 21.8,
        "air.rh": None,
        "ec.0": 1.2,
        "ec.1": 2,
        "on": True,
        "bad": None,
    }


@pytest.mark.parametrize(
    "line",
    [
        b'{"t": 21.8',
        b'"t": 21.8}',
        b'{"t": 21.8}}',
        b"[1, 2]",
        b"21.8",
        b"{'t': 21.8}",
        b'{"t": 1' + b"0" * 4000 + b"x}",
        b"[" * 4000,
        b'{"a":' * 600 + b"1" + b"}" * 600,
        b'{"a":' * (JSON_DEPTH_MAX + 1) + b"1" + b"}" * (JSON_DEPTH_MAX + 1),
    ],
)
def test_what_is_no_whole_json_object_is_refused(line: bytes) -> None:
    with pytest.raises(FrameMalformed):
        LineDecoder(layout="json").fields(line)


def test_a_pattern_names_the_fields() -> None:
    decoder = LineDecoder(layout="regex", pattern=WATER_NODE)
    assert decoder.fields(b"raw=153  depth=127 mm") == {"raw": Field("153"), "depth": Field("127")}


@pytest.mark.parametrize("line", [b"raw=153  depth=12", b"w=153  depth=127 mm", b"raw=153  depth=127 mm!", BOOT])
def test_a_pattern_fits_the_whole_line_or_not_at_all(line: bytes) -> None:
    with pytest.raises(FrameMalformed, match="does not fit the pattern"):
        LineDecoder(layout="regex", pattern=WATER_NODE).fields(line)


def test_a_group_that_took_no_part_is_no_field() -> None:
    decoder = LineDecoder(layout="regex", pattern=r"(?:T(?P<t>[\d.]+))?(?:H(?P<h>[\d.]*))?")
    assert decoder.fields(b"H") == {"h": Field(None)}
    assert decoder.fields(b"T21.8") == {"t": Field("21.8")}


def test_a_pattern_is_not_tried_on_a_very_long_line() -> None:
    decoder = LineDecoder(layout="regex", pattern="(?P<all>.*)")
    assert decoder.fields(b"x" * PATTERN_LINE_LENGTH_MAX)
    with pytest.raises(FrameMalformed, match="a line of 513 characters"):
        decoder.fields(b"x" * (PATTERN_LINE_LENGTH_MAX + 1))


@pytest.mark.parametrize(
    ("layout", "separator", "pattern", "sentence"),
    [
        ("regex", ",", "(?P<a>", "pattern is no regular expression: missing"),
        ("regex", ",", r"\d+", "pattern names no field"),
        ("regex", ",", "", "pattern names no field"),
        ("csv", "", "", "separator is empty"),
    ],
)
def test_a_layout_that_cannot_work_is_refused_at_once(
    layout: Layout, separator: str, pattern: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        LineDecoder(layout=layout, separator=separator, pattern=pattern)
