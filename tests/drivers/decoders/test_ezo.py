import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.decoders.ezo import CODES, EzoDecoder
from drivers.decoders.frame import FRAME_LENGTH_MAX, FrameMalformed

VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "serial_ascii.json").read_text(encoding="utf-8"))
    if vector["protocol"] == "ezo"
}


def frame_of(line: str) -> bytes:
    (frame,) = EzoDecoder().feed(line.encode())
    return frame


def fields_of(line: str) -> dict[str, float]:
    fields = EzoDecoder().fields(frame_of(line))
    values = {name: field.value for name, field in fields.items()}
    assert all(isinstance(value, float) for value in values.values())
    return values  # type: ignore[return-value]


def test_a_reading_is_its_number() -> None:
    assert fields_of(VECTORS["ezo-ph-r"]["line"]) == {"0": 9.56}
    assert fields_of("-1023.000\r") == {"0": -1023.0}


def test_several_outputs_are_numbered_in_the_order_of_the_circuit() -> None:
    assert fields_of("1413,706,0.71,1.000\r") == {"0": 1413.0, "1": 706.0, "2": 0.71, "3": 1.0}


@pytest.mark.parametrize("vector_id", ["ezo-info-ec", "ezo-status", "ezo-info-ph-lower"])
def test_the_answer_to_another_command_is_no_reading(vector_id: str) -> None:
    with pytest.raises(FrameMalformed, match="answer to another command"):
        fields_of(VECTORS[vector_id]["line"])


def test_a_refused_command_is_an_error_in_either_case() -> None:
    for line in (VECTORS["ezo-error"]["line"], "*er\r"):
        with pytest.raises(FrameMalformed, match="does not understand"):
            fields_of(line)


@pytest.mark.parametrize("code", [*CODES, *(code.lower() for code in CODES)])
def test_a_code_says_nothing_about_the_question(code: str) -> None:
    assert fields_of(f"{code}\r") == {}


def test_every_code_of_the_vectors_is_known() -> None:
    codes = [vector["line"] for key, vector in VECTORS.items() if key.startswith("ezo-code")]
    assert len(codes) == 3
    assert [fields_of(line) for line in codes] == [{}, {}, {}]


def test_no_output_is_no_value() -> None:
    with pytest.raises(FrameMalformed, match="no value"):
        fields_of(VECTORS["ezo-do-no-output"]["line"])


@pytest.mark.parametrize(
    "line",
    [
        "nan",
        "9.5x",
        "9,,5",
        "9.56 7.1",
        "1e5",
        "0x1F",
        "*XY",
        "RT,25.0",
        "9.560*OK",
        ",",
        "१",
        "1_0",
        "--1",
        "1.2.3",
        ".560",
        "9.",
    ],
)
def test_junk_never_becomes_a_number(line: str) -> None:
    with pytest.raises(FrameMalformed):
        fields_of(f"{line}\r")


def test_lines_end_with_cr_and_an_lf_after_it_is_tolerated() -> None:
    decoder = EzoDecoder()
    assert decoder.feed(b"9.5") == []
    assert decoder.feed(b"60\r*OK\r\n7.1\n") == [b"9.560", b"*OK", b"7.1"]


def test_noise_without_an_end_is_dropped_and_the_next_line_is_found() -> None:
    decoder = EzoDecoder()
    for _ in range(10):
        assert decoder.feed(b"\xfe" * FRAME_LENGTH_MAX) == []
    assert decoder.feed(b"\r9.560\r") == [b"9.560"]


@given(chunks=st.lists(st.binary(max_size=60)))
@example(chunks=[b"*", b"\r", b"9.5", b"\r?I\r"])
def test_any_bytes_give_values_or_a_named_error(chunks: list[bytes]) -> None:
    decoder = EzoDecoder()
    for frame in [frame for chunk in chunks for frame in decoder.feed(chunk)]:
        try:
            fields = decoder.fields(frame)
        except FrameMalformed:
            continue
        assert all(isinstance(field.value, float) for field in fields.values())


@given(values=st.lists(st.decimals(-99_999, 99_999, places=3), min_size=1, max_size=4), data=st.data())
def test_what_a_circuit_writes_is_read_back_whatever_pieces_it_comes_in(
    values: list[object], data: st.DataObject
) -> None:
    line = (",".join(map(str, values)) + "\r").encode()
    cut = data.draw(st.integers(0, len(line)))
    decoder = EzoDecoder()
    (frame,) = [*decoder.feed(line[:cut]), *decoder.feed(line[cut:])]
    assert [field.value for field in decoder.fields(frame).values()] == [float(str(value)) for value in values]
