import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.values import (
    FALSE_WORDS,
    TEXT_LENGTH_MAX,
    TRUE_WORDS,
    Raw,
    ValueCodec,
    ValueKind,
    ValueOptions,
    number_of,
)
from edge.domain.reading import Quality, Reading, Reason, bad
from fakes.value_points import value_point

FAULT = bad(Reason.SENSOR_FAULT, "Cel")

RAWS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**320),
    st.floats(),
    st.text(max_size=40),
    st.text(alphabet="0123456789+-. eE", max_size=12),
    st.text(alphabet=st.characters(), min_size=1, max_size=4),
)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("21.8", 21.8),
        (" 21.80 ", 21.8),
        ("+ 7.16", 7.16),
        ("- 7.16", -7.16),
        ("022.0", 22.0),
        ("+000000", 0.0),
        ("-0.0", 0.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5e2", 150.0),
        (3, 3.0),
        (2.5, 2.5),
        (-0.0, 0.0),
    ],
)
def test_a_number_is_read_as_it_is_written(raw: Raw, shown: float) -> None:
    reading = ValueCodec(value_point("air_temperature")).reading(raw)
    assert repr(reading.value) == repr(shown)
    assert reading == Reading(value=shown, unit="Cel")


@pytest.mark.parametrize(
    "raw",
    [
        *(None, "", " ", "nan", "NaN", "null", "---", "OVER", "inf", "-Infinity", "unavailable"),
        *("21,8", "1_000", "0x1F", "1.2.3", "21.8 C", "+-3", "--3", "٣", "1e999", "1e", ".", "+"),
        *(math.nan, math.inf, -math.inf, True, False, 10**400, "9" * 1000),
    ],
)
def test_what_is_no_number_never_becomes_one(raw: Raw) -> None:
    assert ValueCodec(value_point("air_temperature")).reading(raw) == FAULT


@pytest.mark.parametrize(
    ("raw", "scale", "raw_offset", "shown"),
    [(305, 0.1, 0.0, 30.5), ("3", 0.1, 0.0, 0.3), (400, 0.1, -40.0, 0.0), ("7", 0.01, 1.5, 1.57), (2.3, 3.0, 0.0, 6.9)],
)
def test_scaling_adds_no_digits(raw: Raw, scale: float, raw_offset: float, shown: float) -> None:
    reading = ValueCodec(value_point("air_temperature", scale=scale, raw_offset=raw_offset)).reading(raw)
    assert repr(reading.value) == repr(shown)


@pytest.mark.parametrize(
    ("quantity", "unit", "raw", "shown"),
    [
        ("ec", "uS/cm", "1413", 1.413),
        ("air_temperature", "[degF]", "86", 30.0),
        ("air_temperature", "[degF]", "32.0", 0.0),
        ("air_temperature", "K", "300", 26.85),
        ("wind_speed", "[kn_i]", "5.8", 2.983777777778),
    ],
)
def test_the_profiles_unit_is_converted_without_noise(quantity: str, unit: str, raw: Raw, shown: float) -> None:
    assert repr(ValueCodec(value_point(quantity, unit=unit)).reading(raw).value) == repr(shown)


@pytest.mark.parametrize(
    ("raw", "unit", "shown"),
    [
        ("1018.1", "hPa", 1018.1),
        ("1.0181", "bar", 1018.1),
        ("30.06", "[in_i'Hg]", 1017.948),
        ("763.63", "mm[Hg]", 1018.09),
    ],
)
def test_the_unit_that_a_frame_names_stands_above_the_profiles(raw: Raw, unit: str, shown: float) -> None:
    codec = ValueCodec(value_point("air_pressure", unit="kPa"))
    assert codec.reading(raw, unit=unit).value == pytest.approx(shown, abs=1e-3)
    assert codec.reading("101.81").value == 1018.1


def test_scale_and_offset_hold_in_the_unit_that_the_frame_names() -> None:
    codec = ValueCodec(value_point("mass", scale=0.01))
    assert codec.reading("+004500", unit="g").value == 0.045


def test_a_unit_of_another_quantity_gives_no_value() -> None:
    codec = ValueCodec(value_point("air_pressure"))
    assert not codec.converts("mm")
    assert codec.converts("bar")
    assert codec.reading("21.8", unit="mm") == bad(Reason.SENSOR_FAULT, "hPa")
    assert codec.reading("21.8", unit="{X}") == bad(Reason.SENSOR_FAULT, "hPa")


def test_what_is_counted_is_no_unit_of_anything_else() -> None:
    assert ValueCodec(value_point("count")).reading("12", unit="{pulses}").value == 12.0
    assert ValueCodec(value_point("water_content")).reading("12", unit="{pulses}") == bad(Reason.SENSOR_FAULT, "%")


def test_a_plain_number_takes_any_unit() -> None:
    assert ValueCodec(value_point()).reading("153", unit="mm") == Reading(value=153.0, unit=None)


def test_a_polynomial_stands_instead_of_scale_and_offset() -> None:
    # TEROS 12 in mineral soil: water content in m3/m3 is 3.879e-4 raw - 0.6956.
    codec = ValueCodec(value_point("water_content", unit="m3/m3", polynomial=(-0.6956, 3.879e-4)))
    assert codec.reading("2100").value == 11.899
    squared = ValueCodec(value_point("air_temperature", polynomial=(1.0, 0.0, 0.5)))
    assert squared.reading(3).value == 5.5


@pytest.mark.parametrize("coefficients", [(0.0, 1e300, 1e300), (1e308, 1e308), (0.0,) * 4000 + (1e300,)])
def test_what_leaves_the_numbers_is_bad(coefficients: tuple[float, ...]) -> None:
    codec = ValueCodec(value_point("air_temperature", polynomial=coefficients))
    assert codec.reading(1e300) == FAULT


@pytest.mark.parametrize("word", sorted(TRUE_WORDS | FALSE_WORDS))
def test_words_for_yes_and_no_are_known_in_any_case(word: str) -> None:
    codec = ValueCodec(value_point(type="boolean"))
    for written in (word, word.upper(), word.capitalize(), f" {word} "):
        assert codec.reading(written) == Reading(value=word in TRUE_WORDS, unit=None)


@pytest.mark.parametrize(
    ("raw", "value"), [(True, True), (False, False), (1, True), (0, False), (1.0, True), (0.0, False)]
)
def test_a_yes_or_no_may_be_a_boolean_or_a_one_or_zero(raw: Raw, value: bool) -> None:
    assert ValueCodec(value_point(type="boolean")).reading(raw) == Reading(value=value, unit=None)


@pytest.mark.parametrize("raw", [2, -1, 0.5, "2", "ja", "unknown", "unavailable", "", None, math.nan, "ERROR", "onn"])
def test_any_other_word_is_neither_yes_nor_no(raw: Raw) -> None:
    assert ValueCodec(value_point(type="boolean")).reading(raw) == bad(Reason.SENSOR_FAULT, None)


@pytest.mark.parametrize(
    ("raw", "text"), [("idle", "idle"), (" 2.15 ", "2.15"), (3, "3"), (3.0, "3"), (2.5, "2.5"), (True, "true")]
)
def test_a_text_is_kept_as_it_is_written(raw: Raw, text: str) -> None:
    assert ValueCodec(value_point(type="text")).reading(raw) == Reading(value=text, unit=None)


@pytest.mark.parametrize("raw", ["", "  ", None, "x" * (TEXT_LENGTH_MAX + 1), "\ud800", math.nan])
def test_a_text_that_no_event_can_hold_is_bad(raw: Raw) -> None:
    assert ValueCodec(value_point(type="text")).reading(raw) == bad(Reason.SENSOR_FAULT, None)


@pytest.mark.parametrize("raw", [-9999, "-9999", "-9999.0", " -9999 ", "ERR", -9999.0])
def test_a_sentinel_is_recognised_as_a_number_and_as_a_text(raw: Raw) -> None:
    codec = ValueCodec(value_point("air_temperature", scale=0.1, invalid_raw=(-9999, "ERR")))
    assert codec.reading(raw) == FAULT
    assert codec.reading(-999).value == -99.9


def test_a_sentinel_written_as_text_is_compared_as_text() -> None:
    codec = ValueCodec(value_point("air_temperature", invalid_raw=("0.00",)))
    assert codec.reading("0.00") == FAULT
    assert codec.reading("0.0").value == 0.0


def test_a_sentinel_holds_for_texts_and_booleans_too() -> None:
    assert ValueCodec(value_point(type="text", invalid_raw=("-",))).reading("-").quality is Quality.BAD
    assert ValueCodec(value_point(type="boolean", invalid_raw=(0,))).reading("0").quality is Quality.BAD


@pytest.mark.parametrize(
    ("raw", "value"), [("3", "auto"), (3, "auto"), ("03", "auto"), (3.0, "auto"), (True, "manual")]
)
def test_a_map_is_looked_up_by_the_raw_values_text(raw: Raw, value: str) -> None:
    codec = ValueCodec(value_point(type="text", map={"3": "auto", "true": "manual"}))
    assert codec.reading(raw) == Reading(value=value, unit=None)


@pytest.mark.parametrize("raw", ["4", "", "Auto", False, None])
def test_a_raw_value_outside_the_map_is_bad(raw: Raw) -> None:
    codec = ValueCodec(value_point(type="text", map={"3": "auto", "auto": "auto"}))
    assert codec.reading(raw) == bad(Reason.SENSOR_FAULT, None)


def test_a_map_gives_numbers_and_booleans_as_well() -> None:
    position = ValueCodec(value_point("position", unit="1", map={"OPEN": 1.0, "HALF": 0.5}))
    assert position.reading("HALF").value == 50.0
    assert ValueCodec(value_point(type="boolean", map={"offen": True, "zu": False})).reading("zu").value is False


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_of_the_frame_decides_the_quality(reason: Reason) -> None:
    reading = ValueCodec(value_point("air_temperature")).reading("21.8", reason=reason)
    if reason in {Reason.SENSOR_FAULT, Reason.COMM_ERROR, Reason.WARMING_UP}:
        assert reading == bad(reason, "Cel")
    else:
        assert reading == Reading(value=21.8, unit="Cel", quality=Quality.UNCERTAIN, reason=reason)


def test_a_doubtful_value_that_is_none_is_a_fault() -> None:
    assert ValueCodec(value_point("air_temperature")).reading("nan", reason=Reason.STALE) == FAULT


@given(raw=RAWS, kind=st.sampled_from(("number", "boolean", "text")), unit=st.sampled_from((None, "K", "mm", "{X}")))
@settings(deadline=None)
def test_any_raw_value_gives_a_reading_of_the_points_type(raw: Raw, kind: ValueKind, unit: str | None) -> None:
    quantity = "air_temperature" if kind == "number" else None
    reading = ValueCodec(value_point(quantity, type=kind)).reading(raw, unit=unit)
    if reading.quality is Quality.GOOD:
        assert type(reading.value) is {"number": float, "boolean": bool, "text": str}[kind]
        str(reading.value).encode()


@given(st.decimals(min_value=-10_000, max_value=10_000, places=3))
@settings(deadline=None)
def test_a_decimal_comes_out_with_its_own_digits(number: object) -> None:
    assert number_of(str(number)) == float(str(number))
    tenth = ValueCodec(value_point("air_temperature", scale=0.1)).reading(str(number))
    assert isinstance(tenth.value, float)
    assert tenth.value == round(float(str(number)) / 10, 4)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (ValueOptions(scale=0), "scale"),
        (ValueOptions(raw_offset=math.nan), "offset"),
        (ValueOptions(polynomial=(1.0, math.inf)), "polynomial"),
        (ValueOptions(polynomial=(1.0, 2.0), scale=2), "leave these out"),
        (ValueOptions(polynomial=(1.0, 0.0)), "same value"),
        (ValueOptions(type="text", scale=2), "not calculated"),
        (ValueOptions(type="boolean", map={"on": 1.0}), "map gives 1.0"),
        (ValueOptions(map={"on": True}), "map gives True"),
    ],
)
def test_options_that_contradict_are_mistakes(options: ValueOptions, word: str) -> None:
    (mistake,) = options.mistakes()
    assert word in mistake
