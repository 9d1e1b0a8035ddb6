import math

import pytest

from edge.domain.foreign_json import JsonFlaw, JsonRefused, read_json, read_object


def nested(depth: int) -> bytes:
    return b"[" * (depth - 1) + b"1" + b"]" * (depth - 1)


@pytest.mark.parametrize(
    ("raw", "flaw"),
    [
        (b"", JsonFlaw.NOT_JSON),
        (b"\xff", JsonFlaw.NOT_JSON),
        (b"{'a': 1}", JsonFlaw.NOT_JSON),
        (b"\xef\xbb\xbf1", JsonFlaw.NOT_JSON),
        (b'["\\ud800"]', JsonFlaw.NOT_JSON),
        (b'{"\\udc00": 1}', JsonFlaw.NOT_JSON),
        (nested(6), JsonFlaw.TOO_DEEP),
        (nested(100_000), JsonFlaw.TOO_DEEP),
        (b"[" * 100_000, JsonFlaw.TOO_DEEP),
        (b'[{"a": 1, "b": 2, "a": 1}]', JsonFlaw.DUPLICATE_KEY),
        (b'{"a": 1, "\\u0061": 2}', JsonFlaw.DUPLICATE_KEY),
    ],
)
def test_what_is_refused_says_why(raw: bytes, flaw: JsonFlaw) -> None:
    with pytest.raises(JsonRefused) as refused:
        read_json(raw, depth_max=5)
    assert refused.value.flaw is flaw


def test_a_key_that_stands_twice_is_named_in_a_text_that_can_be_written() -> None:
    with pytest.raises(JsonRefused, match=r"^has the key '\\ud800xx+' twice in one object$") as refused:
        read_json(b'{"\\ud800' + b"x" * 900 + b'": 1, "\\ud800' + b"x" * 900 + b'": 2}', depth_max=5)
    assert len(str(refused.value).encode()) < 120


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (nested(5), [[[[1]]]]),
        (b"9" * 310, int("9" * 310)),
        (b"9" * 311, math.inf),
        (b"-" + b"9" * 6000, -math.inf),
        (b"1e999", math.inf),
        (b'"\\ud83c\\udf45"', "\N{TOMATO}"),
        (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ],
)
def test_everything_else_is_read(raw: bytes, value: object) -> None:
    assert read_json(raw, depth_max=5) == value


def test_nan_is_read_and_left_to_the_reader_of_its_key() -> None:
    value = read_json(b"NaN", depth_max=5)
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"a": 1, "a": 1}', b'{"a": 1} ' + b" " * 100])
def test_what_is_no_object_of_a_sensible_size_is_an_empty_one(raw: bytes) -> None:
    assert read_object(raw, bytes_max=100, depth_max=5) == {}


def test_an_object_is_read() -> None:
    assert read_object(b'{"a": {"b": [1]}}', bytes_max=17, depth_max=5) == {"a": {"b": [1]}}
