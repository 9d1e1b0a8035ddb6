from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.by_hand import Undecodable, bytes_of, line_of, numbers_of


@pytest.mark.parametrize(
    "text", ["010402", "01 04 02", "01:04:02", "0x01,0x04,0x02", r"\x01\x04\x02", "01-04-02", "0x010402", " 01 0402\n"]
)
def test_bytes_may_be_written_in_any_usual_way(text: str) -> None:
    assert bytes_of(text) == b"\x01\x04\x02"


@pytest.mark.parametrize("text", ["1 4 2", "0104x2", "zz", "10x20", "\u0660\u0661"])
def test_what_is_no_byte_is_refused(text: str) -> None:
    with pytest.raises(Undecodable, match="two digits for each byte"):
        bytes_of(text)


@pytest.mark.parametrize("text", ["305,546", "305 546", "0x0131,0x222", " 305; 546 ", "0305,0546"])
def test_registers_may_be_written_in_any_usual_way(text: str) -> None:
    assert numbers_of(text) == [305, 546]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no registers"),
        (",", "no registers"),
        ("-1", "no list of registers"),
        ("1_000", "no list of registers"),
        ("\uff13", "no list of registers"),
        ("65536", "from 0 to 65535"),
        ("9" * 5000, "no list of registers"),
    ],
)
def test_what_is_no_register_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(Undecodable, match=sentence):
        numbers_of(text)


def test_a_line_may_hold_its_end_as_it_is_typed() -> None:
    assert line_of(r"9.560\r") == b"9.560\r"
    assert line_of("9.560\r") == b"9.560\r"
    assert line_of(r"$A*00\r\n$B*00\r\n") == b"$A*00\r\n$B*00\r\n"


def test_what_is_escaped_within_json_stays_so() -> None:
    assert line_of(r'{"note": "a\nb"}\r\n', is_json=True) == b'{"note": "a\\nb"}\r\n'


def test_bytes_that_are_no_text_survive_the_command_line() -> None:
    assert line_of("21.8 \udcb0C") == b"21.8 \xb0C"


@given(st.text())
def test_any_text_gives_bytes_and_registers_or_a_sentence(text: str) -> None:
    line_of(text)
    for read in (bytes_of, numbers_of):
        with suppress(Undecodable):
            read(text)


@given(st.lists(st.integers(0, 0xFFFF), min_size=1))
def test_registers_are_read_as_they_were_written(numbers: list[int]) -> None:
    assert numbers_of(",".join(map(str, numbers))) == numbers
    assert numbers_of(" ".join(map(hex, numbers))) == numbers


@given(st.binary())
def test_bytes_are_read_as_they_were_written(data: bytes) -> None:
    assert bytes_of(data.hex()) == bytes_of(data.hex(" ")) == data
