import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.decoders.dialogue import Ask, Dialogue, Fields, More, NoAnswer, Pause
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.sdi12 import (
    WAIT_S_MAX,
    Announcement,
    Sdi12Decoder,
    announcement,
    checksum,
    measurement,
    values,
)

VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "serial_ascii.json").read_text(encoding="utf-8"))
    if vector["protocol"] == "sdi12"
}


def line(vector_id: str) -> bytes:
    (frame,) = Sdi12Decoder().feed(VECTORS[vector_id]["line"].encode())
    return frame


def told(dialogue: Dialogue[Fields], *frames: str | None) -> tuple[list[object], list[object]]:
    """Hold a dialogue with a sensor that says these lines; returns the values and the turns. None = silence."""
    turns: list[object] = []
    left = list(frames)
    try:
        turns.append(next(dialogue))
        while True:
            frame = left.pop(0)
            turns.append(dialogue.send(None if frame is None else frame.encode("latin-1")))
    except StopIteration as end:
        fields: Fields = end.value
    assert not left
    assert list(fields) == [str(number) for number in range(len(fields))]
    return [field.value for field in fields.values()], [turn for turn in turns if turn != More()]


def asked(*commands: str) -> list[Ask]:
    return [Ask(command.encode()) for command in commands]


@pytest.mark.parametrize("vector_id", ["sdi12-crc-b", "sdi12-crc-c"])
def test_the_examples_of_the_standard_have_their_checksums(vector_id: str) -> None:
    expected = [each["value"] for each in VECTORS[vector_id]["expect"]]
    assert list(values(line(vector_id), "0", needs_checksum=True)) == expected


@pytest.mark.parametrize("place", range(19))
def test_a_character_that_changed_is_noticed_by_the_checksum(place: int) -> None:
    frame = bytearray(line("sdi12-crc-b"))
    frame[place] ^= 0x01
    with pytest.raises(FrameMalformed):
        values(bytes(frame), "0", needs_checksum=True)


def test_a_missing_checksum_is_an_error_only_where_it_was_asked_for() -> None:
    assert values(b"0+3.14", "0") == (3.14,)
    with pytest.raises(FrameMalformed, match="no checksum"):
        values(b"0+3.14", "0", needs_checksum=True)


def test_a_sensor_announces_its_values() -> None:
    assert announcement(line("sdi12-ctd10-m"), "0", "M") == Announcement(wait_s=1, count=3)
    assert announcement(b"000520", "0", "CC") == Announcement(wait_s=5, count=20)
    with pytest.raises(FrameMalformed, match="atttnn"):
        announcement(b"00013", "0", "C")


def test_signs_part_the_values() -> None:
    assert values(line("sdi12-teros12-d0"), "1") == (1807.82, 21.0, 1.0)
    assert values(b"a-1-.5+100.", "a") == (-1.0, -0.5, 100.0)


def test_another_address_is_refused_by_its_name() -> None:
    with pytest.raises(FrameMalformed, match="comes from address 1, 0 was asked"):
        values(b"1+3.14", "0")
    assert values(b"1+3.14", "?") == (3.14,)


def test_our_own_command_in_front_of_the_answer_is_passed_over() -> None:
    assert values(b"0D0!0+3.14", "0") == (3.14,)


def test_a_measurement_waits_until_the_sensor_says_that_it_is_ready() -> None:
    found, turns = told(measurement("0", "M"), "00023", "0", "0+1+2+3")
    assert found == [1.0, 2.0, 3.0]
    assert turns == [Ask(b"0M!"), Pause(2), Ask(b"0D0!")]


def test_a_measurement_that_is_not_announced_as_ready_is_fetched_after_its_time() -> None:
    found, turns = told(measurement("0", "M"), "00021", None, "0+7.5")
    assert found == [7.5]
    assert turns == [Ask(b"0M!"), Pause(2), Ask(b"0D0!")]


def test_a_measurement_that_needs_no_time_is_fetched_at_once() -> None:
    found, turns = told(measurement("0", "M"), "00002", "0+1+2")
    assert found == [1.0, 2.0]
    assert turns == asked("0M!", "0D0!")


def test_a_concurrent_measurement_takes_its_whole_time() -> None:
    found, turns = told(measurement("b", "C2"), "b00102", "b", None, "b+1+2")
    assert found == [1.0, 2.0]
    assert turns == [Ask(b"bC2!"), Pause(1), Ask(b"bD0!")]


def test_data_are_fetched_until_all_values_came() -> None:
    found, turns = told(measurement("0", "M"), "00005", "0+1+2", "0+3+4", "0+5")
    assert found == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert turns == asked("0M!", "0D0!", "0D1!", "0D2!")


def test_each_part_is_checked_by_its_own_checksum() -> None:
    parts = [text + checksum(text) for text in ("0+1", "0+2")]
    assert told(measurement("0", "MC"), "00002", *parts)[0] == [1.0, 2.0]
    with pytest.raises(FrameMalformed, match="wrong checksum"):
        told(measurement("0", "MC"), "00002", parts[0], "0+2" + checksum("0+1"), None)


def test_a_continuous_measurement_is_answered_at_once() -> None:
    assert told(measurement("0", "R0"), "0+21.5") == ([21.5], asked("0R0!"))


def test_lines_that_are_no_answer_are_passed_over() -> None:
    burst = "\t1807.82 21.0 1\rh<"
    assert told(measurement("1", "M"), burst, "2+5.5", "10001", "1", "1+3.5")[0] == [3.5]


def test_a_late_answer_of_the_question_before_gives_way_to_the_right_one() -> None:
    assert told(measurement("0", "R0", to_the_end=True), "0+1", "0+2", None)[0] == [2.0]


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (("00000",), "has no values for 0M!"),
        ((f"0{WAIT_S_MAX + 1:03}1",), "bus waits 60 at most"),
        (("00002", "0+1+2+3"), "announced 2 values and gave 3"),
        (("00003", "0+1+2", "0", None), "the measurement was broken off"),
        (("00003", "0", None), "the measurement was broken off"),
        (("1+3", None), "no measurement|does not announce"),
        (("10003", None), "comes from address 1"),
        (("00003", "1+1+2+3", None), "comes from address 1"),
    ],
)
def test_a_measurement_that_went_wrong_gives_no_value(frames: Sequence[str | None], sentence: str) -> None:
    with pytest.raises(FrameMalformed, match=sentence):
        told(measurement("0", "M"), *frames)


def test_a_silent_sensor_is_no_answer() -> None:
    for frames in ((None,), ("00003", None)):
        with pytest.raises(NoAnswer):
            told(measurement("0", "M"), *frames)


def test_a_line_by_itself_says_why_it_holds_no_values() -> None:
    decoder = Sdi12Decoder()
    assert decoder.fields(b"0") == {}
    with pytest.raises(FrameMalformed, match="announces 3 values in 1 s"):
        decoder.fields(b"00013")


FRAMES = st.one_of(
    st.none(),
    st.text(st.characters(codec="latin-1"), max_size=30),
    st.from_regex(r"[01][0-9]{3,5}", fullmatch=True),
    st.from_regex(r"[01]([+-][0-9]{1,3}(\.[0-9])?){0,4}([@-\x7f]{3})?", fullmatch=True),
)


@given(command=st.sampled_from(["M", "MC3", "C", "CC", "R0", "RC0"]), frames=st.lists(FRAMES, max_size=20))
@example(command="M", frames=["00019", *["0+1"] * 9])
def test_whatever_a_sensor_says_gives_values_or_a_named_error(command: str, frames: list[str | None]) -> None:
    dialogue = measurement("0", command)
    next(dialogue)
    try:
        for frame in [*frames, *[None] * 20]:
            dialogue.send(None if frame is None else frame.encode("latin-1"))
    except StopIteration as end:
        fields: Fields = end.value
        assert fields
        assert all(isinstance(field.value, float) for field in fields.values())
    except (FrameMalformed, NoAnswer):
        pass
    else:
        pytest.fail("the dialogue never ends")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_lines_with_values_or_a_named_error(data: bytes) -> None:
    decoder = Sdi12Decoder()
    for frame in decoder.feed(data + b"\r\n"):
        try:
            fields = decoder.fields(frame)
        except FrameMalformed:
            continue
        assert all(isinstance(field.value, float) for field in fields.values())


@given(found=st.lists(st.decimals(-9999, 9999, places=2), min_size=1, max_size=9))
def test_values_with_their_checksum_are_read_back(found: list[object]) -> None:
    body = "0" + "".join(f"{value:+}" for value in found)
    assert list(values((body + checksum(body)).encode(), "0", needs_checksum=True)) == [float(str(v)) for v in found]
