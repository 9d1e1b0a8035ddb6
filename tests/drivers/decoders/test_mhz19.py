import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders import mhz19
from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.mhz19 import Mhz19Decoder

ANSWER = bytes.fromhex("FF 86 02 20 00 00 00 00 58")


def answer(ppm: int, rest: bytes = bytes(4)) -> bytes:
    frame = b"\xff\x86" + ppm.to_bytes(2, "big") + rest + b"\0"
    return frame[:8] + bytes([mhz19.checksum(frame)])


def test_the_manuals_answer_is_544_ppm() -> None:
    assert answer(544) == ANSWER
    assert Mhz19Decoder().fields(ANSWER) == {"co2": Field(544)}


@given(ppm=st.integers(0, 0xFFFF), rest=st.binary(min_size=4, max_size=4))
@settings(deadline=None)
def test_a_concentration_that_was_written_is_read_again(ppm: int, rest: bytes) -> None:
    assert Mhz19Decoder().fields(answer(ppm, rest))["co2"].value == ppm


@pytest.mark.parametrize("place", range(2, 9))
def test_a_changed_byte_is_noticed(place: int) -> None:
    damaged = bytearray(ANSWER)
    damaged[place] ^= 0x10
    with pytest.raises(FrameMalformed, match="wrong checksum: it says"):
        Mhz19Decoder().fields(bytes(damaged))


@pytest.mark.parametrize("frame", [b"", ANSWER[:8], ANSWER + b"\0", b"\xff\x79" + ANSWER[2:], b"\0" + ANSWER[1:]])
def test_what_is_no_answer_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameMalformed, match="no answer of an MH-Z19"):
        Mhz19Decoder().fields(frame)


def test_an_echo_of_the_question_is_passed_over() -> None:
    assert list(Mhz19Decoder().feed(mhz19.REQUEST + ANSWER)) == [ANSWER]


def test_the_answer_after_a_torn_one_is_found() -> None:
    assert list(Mhz19Decoder().feed(ANSWER[:5] + ANSWER)) == [ANSWER]


def test_the_answer_after_a_damaged_one_is_found() -> None:
    damaged = ANSWER[:8] + b"\x59"
    assert list(Mhz19Decoder().feed(damaged + ANSWER)) == [damaged, ANSWER]


def test_an_answer_that_begins_in_the_last_byte_of_a_torn_one_is_found() -> None:
    torn = ANSWER[:8]
    decoder = Mhz19Decoder()
    assert list(decoder.feed(torn + ANSWER)) == [torn + ANSWER[:1], ANSWER]


def test_half_an_answer_can_be_forgotten() -> None:
    decoder = Mhz19Decoder()
    decoder.feed(ANSWER[:5])
    decoder.reset()
    assert list(decoder.feed(ANSWER[5:])) == []
