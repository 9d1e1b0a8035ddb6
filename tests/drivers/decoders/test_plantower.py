import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders import plantower
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.plantower import PlantowerDecoder

NAMES = (
    *("pm1_0_cf1", "pm2_5_cf1", "pm10_cf1", "pm1_0_atm", "pm2_5_atm", "pm10_atm"),
    *("n0_3um", "n0_5um", "n1_0um", "n2_5um", "n5_0um", "n10um"),
)
CAPTURED = bytes.fromhex("424d001c001d0031003900190029003406cf05f30158000800000000120003e8")


def frame_of(*numbers: int) -> bytes:
    body = struct.pack(">4s12HH", b"BM\x00\x1c", *numbers, 0x9700)
    return body + struct.pack(">H", plantower.checksum(body + bytes(2)))


@given(numbers=st.lists(st.integers(0, 0xFFFF), min_size=12, max_size=12))
@settings(deadline=None)
def test_numbers_that_were_written_are_read_again(numbers: list[int]) -> None:
    fields = PlantowerDecoder().fields(frame_of(*numbers))
    assert {name: field.value for name, field in fields.items()} == dict(zip(NAMES, numbers, strict=True))


@pytest.mark.parametrize("place", range(4, 32))
def test_a_changed_byte_is_noticed(place: int) -> None:
    damaged = bytearray(CAPTURED)
    damaged[place] ^= 0x10
    with pytest.raises(FrameMalformed, match="wrong checksum: it says"):
        PlantowerDecoder().fields(bytes(damaged))


@pytest.mark.parametrize("frame", [b"", CAPTURED[:31], CAPTURED + b"\0", b"BM\x00\x14" + CAPTURED[4:]])
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameMalformed, match="no frame of a PMSx003"):
        PlantowerDecoder().fields(frame)


@pytest.mark.parametrize("lost", range(1, 32))
def test_the_frame_after_a_torn_one_is_found(lost: int) -> None:
    frames = list(PlantowerDecoder().feed(CAPTURED[lost:] + CAPTURED))
    assert frames[-1] == CAPTURED
    assert list(PlantowerDecoder().feed(CAPTURED[:lost] + CAPTURED))[-1] == CAPTURED


def test_the_answer_to_a_command_is_passed_over() -> None:
    assert list(PlantowerDecoder().feed(bytes.fromhex("42 4D 00 04 E1 00 01 74") + CAPTURED)) == [CAPTURED]


def test_the_question_of_passive_mode_has_its_own_checksum() -> None:
    assert plantower.REQUEST[-2:] == plantower.checksum(plantower.REQUEST).to_bytes(2, "big")
