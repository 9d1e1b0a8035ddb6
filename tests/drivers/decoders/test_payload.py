from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.payload import PAYLOAD_LENGTH_MAX, PayloadMalformed, json_in, text_in


def test_a_text_has_no_blanks_and_no_closing_zero_around_it() -> None:
    assert text_in(b" 21.5 \r\n\0") == "21.5"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"a": 1', "the payload is no JSON: "),
        (b'{"MCP230XX": "D0":0}', "the payload is no JSON: Expecting ',' delimiter at character 18"),
        (b"", "the payload is no JSON: Expecting value at character 1"),
        (b"online", "the payload is no JSON: Expecting value at character 1"),
        (b'{"a": "\xff"}', "byte 8 of the payload is no UTF-8 text"),
        (b"[" * 60_000, "the JSON is nested too deeply"),
        (b'{"a":' * 10_000, "the JSON is nested too deeply"),
        (b"1" * 60_000, "the JSON holds a number with too many digits"),
        (b" " * (PAYLOAD_LENGTH_MAX + 1), "the payload has 65537 bytes; more than 65536 are not read"),
    ],
    ids=lambda value: value[:16] if isinstance(value, bytes) else None,
)
def test_what_is_no_json_is_refused_with_the_place(payload: bytes, said: str) -> None:
    with pytest.raises(PayloadMalformed) as caught:
        json_in(payload)
    assert str(caught.value).startswith(said)


def test_a_number_that_is_none_is_null_and_its_neighbours_stay() -> None:
    assert json_in(b'{"a": NaN, "b": -Infinity, "c": 44.7}') == {"a": None, "b": None, "c": 44.7}


def test_of_a_key_that_is_there_twice_the_last_value_holds() -> None:
    assert json_in(b'{"a": 1, "a": 2}') == {"a": 2}


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='[]{}":,0123456789eE+-.tfn', max_size=60).map(str.encode))
def test_any_bytes_are_json_or_a_named_mistake(payload: bytes) -> None:
    with suppress(PayloadMalformed):
        json_in(payload)
