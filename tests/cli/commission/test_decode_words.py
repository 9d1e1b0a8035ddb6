"""`decode` beyond the vectors: registers without a profile, and words that mean nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.command_line import readings, told, typed

MODBUS = [
    (["--registers", "17096,0", "--type", "float32"], {"value": 100.0}),
    (["--registers", "54394,17384", "--type", "float32", "--order", "CDAB"], {"value": 465.65997}),
    (["--registers", "0xFF33", "--type", "int16", "--scale", "0.1"], {"value": -20.5}),
    (["--registers", "153", "--type", "int16", "--offset", "-26"], {"value": 127}),
    (["--registers", "0x1234", "--type", "bcd16"], {"value": 1234}),
    (["--registers", "1,0x0203", "--type", "uint32"], {"value": 66051}),
    (["--registers", "6000,0", "--scale", "0.01"], {"value_0": 60.0, "value_1": 0.0}),
    (["--registers", "0x0F37", "--bits", "9,1"], {"value": True}),
    (["--registers", "0x0F37", "--bits", "4,3"], {"value": 3}),
    (["--registers", "2393,19504,14641,13873,12594,12592,12544", "--type", "string"], {"value": "YL0916112101"}),
    (["--registers", "0,32704", "--type", "float32", "--order", "CDAB"], {"value": None}),
]


@pytest.mark.parametrize(("given", "values"), MODBUS)
def test_registers_are_decoded_without_a_profile(given: list[str], values: dict[str, object]) -> None:
    found = readings("modbus", *given)
    assert {name: reading["value"] for name, reading in found.items()} == values


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--registers", "1", "--type", "float32"], "no whole number of float32"),
        (["--registers", "1", "--bits", "15,2"], "bits are"),
        (["--registers", "1", "--bits", "x"], "FIRST,WIDTH"),
        (["--registers", "1", "--scale", "0"], "scale is 0"),
        (["--registers", "1", "--scale", "nan"], "scale is nan"),
        (["--registers", "70000"], "no register"),
    ],
)
def test_registers_that_make_no_value_give_a_sentence(given: list[str], sentence: str) -> None:
    result = typed("decode", "modbus", *given)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert told("decode", "modbus", *given, code=1) == {"error": result.stderr.strip()}


ANY_WORDS = st.text(max_size=60) | st.text('0123456789abcdefx ,:-+.$*!?{}[]"\\rn', max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    profile=st.sampled_from(
        [
            "xy-md02",
            "senseair-s8",
            "ezo-ph",
            "meter-teros-12",
            "nmea-weather",
            "zigbee2mqtt-climate",
            "milesight-em300-th",
        ]
    ),
    way=st.sampled_from(["--frame", "--registers", "--line", "--payload"]),
    words=ANY_WORDS,
    more=st.lists(st.tuples(st.sampled_from(["--request", "--topic"]), ANY_WORDS), max_size=2),
)
def test_any_words_give_readings_or_a_sentence(profile: str, way: str, words: str, more: list[tuple[str, str]]) -> None:
    others = [f"{name}={text}" for name, text in more]
    result = typed("decode", "--profile", profile, f"{way}={words}", *others)
    assert result.exit_code in {0, 1, 2}
    assert bool(result.stdout.strip()) == (result.exit_code == 0)
    assert bool(result.stderr.strip()) == (result.exit_code != 0)


@settings(max_examples=40, deadline=None)
@given(
    registers=ANY_WORDS,
    bits=st.none() | ANY_WORDS,
    scale=st.none() | st.floats().map(str),
    kind=st.sampled_from(["int16", "float64", "bcd32", "string"]),
)
def test_any_registers_give_readings_or_a_sentence(
    registers: str, bits: str | None, scale: str | None, kind: str
) -> None:
    others = [f"{name}={text}" for name, text in (("--bits", bits), ("--scale", scale)) if text is not None]
    result = typed("decode", "modbus", f"--registers={registers}", "--type", kind, *others)
    assert result.exit_code in {0, 1, 2}
    assert bool(result.stderr.strip()) == (result.exit_code != 0)
