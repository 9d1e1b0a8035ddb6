import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.guess import Guess, guess
from drivers.decoders.registers import NUMBER_TYPES, WORD_ORDERS, encode_number, register_count

# XY-MD02, then GMP252 with its least significant word first, then the serial number of a Y520.
CLIMATE = [305, 65331]
CO2 = [54394, 17384]
SERIAL = [2393, 19504, 14641, 13873, 12594, 12592, 12544]


def plausible(registers: list[int], address: int = 0) -> list[Guess]:
    return [each for each in guess(registers, start=0)[address].guesses if each.is_plausible]


def test_each_address_gets_every_type_that_fits() -> None:
    first, second = guess([1, 2], start=40)
    assert (first.address, second.address) == (40, 41)
    assert {each.type for each in first.guesses} == {
        "int16", "uint16", "int32", "uint32", "float32", "bcd16", "bcd32",
    }  # fmt: skip
    assert {each.type for each in second.guesses} == {"int16", "uint16", "bcd16"}
    assert {each.word_order for each in first.guesses if each.type == "uint32"} == set(WORD_ORDERS)
    # One register has only one order of its bytes and another.
    assert [each.word_order for each in first.guesses if each.type == "uint16"] == ["ABCD", "BADC"]


def test_orders_that_give_the_same_are_shown_once() -> None:
    assert [each.word_order for each in guess([0, 0], start=0)[0].guesses if each.type == "float32"] == ["ABCD"]


def test_tenths_of_a_temperature_are_recognised() -> None:
    temperature = plausible(CLIMATE, 0)
    assert {(each.type, each.value) for each in temperature} == {("int16", 305), ("uint16", 305)}
    tenths = next(fit for fit in temperature[0].fits if fit.scale == 0.1)
    assert tenths.value == 30.5
    assert "air_temperature" in tenths.quantities


def test_below_zero_only_the_signed_type_is_plausible() -> None:
    (below,) = plausible(CLIMATE, 1)
    assert (below.type, below.value) == ("int16", -205)


def test_a_float_shows_in_its_own_order_only() -> None:
    (found,) = [each for each in plausible(CO2) if each.type == "float32"]
    assert found.word_order == "CDAB"
    assert found.value == pytest.approx(465.66, abs=0.001)


def test_a_text_is_found_from_its_first_letter() -> None:
    (found,) = [each for each in plausible(SERIAL) if each.type == "string"]
    assert (found.value, found.length, found.word_order) == ("YL0916112101", 7, "ABCD")


def test_letters_in_swapped_bytes_are_found() -> None:
    swapped = [(register & 0xFF) << 8 | register >> 8 for register in SERIAL]
    assert "YL0916112101" in {each.value for each in plausible(swapped) if each.word_order == "BADC"}


@pytest.mark.parametrize("register", [0, 0xFFFF, 0x7FFF, 0x8000])
def test_zero_and_marks_are_not_plausible(register: int) -> None:
    assert plausible([register]) == []
    assert plausible([0, 0, 0, 0]) == []


def test_not_a_number_is_shown_without_a_value() -> None:
    registers = list(encode_number(math.nan, "float32", "ABCD"))
    nothing = next(each for each in guess(registers, start=0)[0].guesses if each.type == "float32")
    assert nothing.value is None
    assert not nothing.is_plausible


def test_registers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="register"):
        guess([70_000], start=0)


@given(st.sampled_from([kind for kind in NUMBER_TYPES if not kind.startswith("bcd")]), st.sampled_from(WORD_ORDERS))
def test_the_true_reading_is_always_among_the_guesses(kind: str, order: str) -> None:
    number_type = next(each for each in NUMBER_TYPES if each == kind)
    word_order = next(each for each in WORD_ORDERS if each == order)
    registers = encode_number(21, number_type, word_order)
    assert len(registers) == register_count(number_type)
    values = [each.value for each in guess(registers, start=0)[0].guesses if each.type == kind and each.is_plausible]
    assert 21 in values or (len(registers) == 1 and word_order in {"BADC", "DCBA"})


@given(st.lists(st.integers(0, 0xFFFF), max_size=30))
def test_any_registers_can_be_guessed_at(registers: list[int]) -> None:
    found = guess(registers, start=0)
    assert len(found) == len(registers)
    for each in found:
        assert all(one.value is not None for one in each.guesses if one.is_plausible)
        assert all(not isinstance(one.value, float) or math.isfinite(one.value) for one in each.guesses)
