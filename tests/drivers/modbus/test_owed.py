"""What a unit owes, and what settles it. Times are seconds on nobody's clock."""

import pytest

from drivers.modbus.frames import Frame
from drivers.modbus.owed import LATENESS_S_MAX, OwedAnswers
from drivers.modbus.plan import Block
from drivers.modbus.question import Question, read_question

TWO = Block(table="holding", address=8, count=2)
QUESTION = read_question(3, "holding", 8, 2)
ELSEWHERE = read_question(3, "holding", 100, 2)
ANSWER = bytes.fromhex("03 04 00 08 00 09")
REFUSAL = b"\x83\x02"


def heard(pdu: bytes, unit: int = 3) -> Frame:
    return Frame(unit=unit, pdu=pdu, start=0, end=len(pdu) + 3)


def fence_of(owed: OwedAnswers, block: Block, now_s: float) -> Question:
    fence = owed.fence(3, block, now_s)
    assert fence is not None
    return fence


def test_a_missed_answer_makes_all_of_its_kind_doubtful_and_no_others() -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    assert owed.is_doubtful(ELSEWHERE, 1.1)
    assert not owed.is_doubtful(read_question(3, "holding", 8, 3), 1.1)
    assert not owed.is_doubtful(read_question(3, "input", 8, 2), 1.1)
    assert not owed.is_doubtful(read_question(4, "holding", 8, 2), 1.1)


def test_what_was_not_answered_for_long_is_forgotten() -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    assert owed.is_doubtful(QUESTION, 1.0 + LATENESS_S_MAX)
    assert not owed.is_doubtful(QUESTION, 1.1 + LATENESS_S_MAX)


@pytest.mark.parametrize("late", [ANSWER, REFUSAL])
def test_an_owed_answer_that_comes_is_settled_and_teaches_how_late_the_unit_is(late: bytes) -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    owed.heard(heard(late), 1.4)
    assert not owed.is_doubtful(QUESTION, 1.4)
    assert owed.answers_by_s(3) == pytest.approx(0.8)
    assert owed.answers_by_s(4) == 0.0


@pytest.mark.parametrize("stray", [heard(ANSWER, unit=4), heard(b"\x04" + ANSWER[1:]), heard(b"\x84\x02")])
def test_an_answer_that_nobody_owes_settles_nothing(stray: Frame) -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    owed.heard(stray, 1.4)
    assert owed.is_doubtful(QUESTION, 1.4)


def test_an_answer_of_another_kind_proves_that_older_ones_do_not_come() -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    fence = fence_of(owed, TWO, 2.0)
    assert fence.shape != QUESTION.shape
    owed.answered(fence, fence.answer_start + b"\0\0", 2.0)
    assert not owed.is_doubtful(QUESTION, 2.1)


def test_a_refused_fence_proves_as_much_but_then_a_refusal_may_be_its_own() -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    fence = fence_of(owed, TWO, 2.0)
    # The refusal may be a late one to the first request; then that to the fence is still to come.
    owed.answered(fence, REFUSAL, 2.0)
    assert not owed.is_doubtful(QUESTION, 2.1)
    assert owed.is_refusal_doubtful(QUESTION, 2.1)
    assert not owed.is_refusal_doubtful(read_question(3, "input", 8, 2), 2.1)


def test_a_refusal_where_nothing_is_owed_leaves_nothing_owed() -> None:
    owed = OwedAnswers()
    # The unit is known from earlier.
    assert not owed.is_doubtful(QUESTION, 1.0)
    owed.answered(QUESTION, REFUSAL, 1.0)
    assert not owed.is_doubtful(ELSEWHERE, 1.1)
    assert not owed.is_refusal_doubtful(QUESTION, 1.1)


def test_a_fence_that_was_not_answered_either_can_be_asked_again() -> None:
    owed = OwedAnswers()
    owed.missed(QUESTION, 1.0)
    fence = fence_of(owed, TWO, 2.0)
    owed.missed(fence, 2.0)
    assert fence_of(owed, TWO, 3.0) == fence
    # What comes may be the answer to the first of them: later than the question it is in any case.
    owed.answered(fence, fence.answer_start + b"\0\0", 3.0)
    assert not owed.is_doubtful(QUESTION, 3.1)
    assert owed.is_doubtful(fence, 3.1)


def test_a_fence_that_was_asked_before_the_question_is_no_proof() -> None:
    owed = OwedAnswers()
    fence = fence_of(owed, TWO, 0.0)
    owed.missed(fence, 0.5)
    owed.missed(QUESTION, 1.0)
    assert fence_of(owed, TWO, 2.0) != fence
    owed.answered(fence, fence.answer_start + b"\0\0", 2.0)
    assert owed.is_doubtful(QUESTION, 2.1)


def test_a_fence_stays_within_what_a_request_and_the_table_can_hold() -> None:
    owed = OwedAnswers()
    assert fence_of(owed, Block(table="input", address=7, count=1), 0.0).pdu.hex() == "0400070002"
    assert fence_of(owed, Block(table="input", address=7, count=125), 0.0).pdu.hex() == "040007007c"
    assert fence_of(owed, Block(table="input", address=0xFFFF, count=1), 0.0).pdu.hex() == "04fffe0002"
    assert fence_of(owed, Block(table="coil", address=0xFFFF, count=1), 0.0).pdu.hex() == "01fff70009"


def test_a_fence_of_bits_has_another_number_of_bytes() -> None:
    owed = OwedAnswers()
    for count in (1, 8, 9, 16, 2000):
        block = Block(table="coil", address=0, count=count)
        assert fence_of(owed, block, 0.0).shape != read_question(3, "coil", 0, count).shape


def test_a_unit_that_answers_twice_is_given_time_for_it() -> None:
    owed = OwedAnswers()
    assert owed.repeats_by_s(3) == 0.0
    owed.repeated(3, 0.01)
    owed.repeated(3, 0.004)
    assert 0.02 <= owed.repeats_by_s(3) < 0.04


def test_an_old_answer_that_comes_once_more_is_no_habit_to_wait_for() -> None:
    owed = OwedAnswers()
    owed.repeated(3, 5.0)
    assert owed.repeats_by_s(3) == 0.0
