"""The RTU listener without a line: bytes and moments."""

import pytest

from drivers.modbus.frames import FRAME_LENGTH_MAX
from drivers.modbus.listener import ARRIVED_LENGTH_MAX, RtuListener, TcpListener
from drivers.modbus.owed import CONFIRMED_MIN, OwedAnswers
from drivers.modbus.question import Question, read_question
from fakes.modbus_line import crc

UNIT = 3


def question(number: int) -> Question:
    return read_question(UNIT, "holding", 10 * number, 1)


def answer(value: int) -> bytes:
    body = bytes([UNIT, 3, 2]) + value.to_bytes(2, "big")
    return body + crc(body)


def value_of(pdu: bytes | None) -> int | None:
    return None if pdu is None else int.from_bytes(pdu[2:], "big")


@pytest.fixture
def owed() -> OwedAnswers:
    return OwedAnswers()


@pytest.fixture
def listener(owed: OwedAnswers) -> RtuListener:
    return RtuListener(owed)


def test_a_doubled_answer_and_the_right_one_may_come_in_one_piece(listener: RtuListener) -> None:
    listener.ask(question(1), 0.0)
    assert value_of(listener.hear(answer(7), 0.02)) == 7
    listener.ask(question(2), 0.03)
    assert value_of(listener.hear(answer(7) + answer(8), 0.04)) == 8


def test_an_answer_that_equals_the_last_one_is_accepted_a_little_later(listener: RtuListener) -> None:
    listener.ask(question(1), 0.0)
    listener.hear(answer(7), 0.02)
    listener.ask(question(2), 0.03)
    assert listener.hear(answer(7), 0.05) is None
    assert listener.suspect_until_s == pytest.approx(0.06)
    assert value_of(listener.accept_suspect()) == 7
    assert listener.suspect_until_s is None


def test_a_doubled_answer_in_front_of_the_right_one_teaches_that_the_unit_answers_twice(
    listener: RtuListener, owed: OwedAnswers
) -> None:
    listener.ask(question(1), 0.0)
    listener.hear(answer(7), 0.02)
    listener.ask(question(2), 0.03)
    assert listener.hear(answer(7), 0.035) is None
    assert value_of(listener.hear(answer(8), 0.04)) == 8
    assert owed.repeats_by_s(UNIT) > 0.015


def test_many_blocks_that_hold_the_same_are_not_waited_for_longer_and_longer(listener: RtuListener) -> None:
    listener.ask(question(0), 0.0)
    listener.hear(answer(0), 0.02)
    for number in range(1, 20):
        listener.ask(question(number), float(number))
        listener.hear(answer(0), number + 0.02)
        assert listener.suspect_until_s == pytest.approx(number + 0.03)
        assert value_of(listener.accept_suspect()) == 0


def test_a_suspect_is_asked_for_once_more_until_the_unit_is_known_to_answer_once(listener: RtuListener) -> None:
    listener.ask(question(0), 0.0)
    listener.hear(answer(0), 0.02)
    for number in range(1, CONFIRMED_MIN + 1):
        for must_repeat in (True, False):
            listener.ask(question(number), float(number))
            listener.hear(answer(0), number + 0.02)
            assert listener.must_repeat is must_repeat
            if must_repeat:
                listener.give_up(number + 0.03)
        assert value_of(listener.accept_suspect()) == 0
    listener.ask(question(0), 100.0)
    assert listener.hear(answer(0), 100.02) is None
    assert not listener.must_repeat


def test_the_answer_to_the_same_question_is_never_a_suspect(listener: RtuListener) -> None:
    for moment_s in (0.0, 1.0):
        listener.ask(question(1), moment_s)
        assert value_of(listener.hear(answer(7), moment_s + 0.02)) == 7


def test_a_late_answer_with_the_value_of_before_is_a_late_one_and_no_double(
    listener: RtuListener, owed: OwedAnswers
) -> None:
    listener.ask(question(1), 0.0)
    listener.hear(answer(7), 0.02)
    listener.ask(question(1), 1.0)
    listener.give_up(1.2)
    assert owed.is_doubtful(question(1), 1.2)
    assert listener.hear(answer(7), 1.25) is None
    assert not owed.is_doubtful(question(1), 1.25)
    assert owed.answers_by_s(UNIT) == pytest.approx(0.5)
    assert owed.repeats_by_s(UNIT) == 0.0


def test_what_arrived_before_a_question_is_no_answer_to_it(listener: RtuListener) -> None:
    listener.ask(question(1), 0.0)
    listener.give_up(0.1)
    listener.hear(answer(6)[:-1], 0.2)
    listener.ask(question(1), 1.0)
    assert listener.hear(answer(6)[-1:], 1.01) is None
    assert value_of(listener.hear(answer(7), 1.02)) == 7


def test_what_stood_before_our_own_echo_came_before_we_asked(listener: RtuListener) -> None:
    sent = listener.ask(question(1), 0.0)
    assert value_of(listener.hear(answer(6) + sent + answer(7), 0.02)) == 7
    assert listener.echoes


def test_bytes_without_end_are_not_kept(listener: RtuListener) -> None:
    listener.ask(question(1), 0.0)
    for _ in range(1000):
        assert listener.hear(b"x" * 100, 0.01) is None
    assert value_of(listener.hear(answer(7), 0.02)) == 7
    assert len(listener.give_up(0.03)) == 0
    listener.ask(question(1), 1.0)
    listener.hear(b"x" * 100_000, 1.1)
    assert len(listener.give_up(1.2)) < 2000


def test_bytes_that_nobody_asked_for_are_not_kept_either(listener: RtuListener) -> None:
    listener.ask(question(1), 0.0)
    listener.give_up(0.1)
    for _ in range(1000):
        listener.hear(b"x" * 100, 0.2)
    assert len(listener.give_up(0.3)) <= FRAME_LENGTH_MAX


def test_a_host_that_floods_us_fills_no_memory() -> None:
    host = TcpListener()
    for _ in range(1000):
        assert host.hear(b"\xff" * 100, 0.0) is None
    assert len(host.give_up(0.1)) <= ARRIVED_LENGTH_MAX


def test_numbers_begin_anew_by_chance_on_each_connection() -> None:
    assert len({TcpListener().ask(question(1), 0.0)[:2] for _ in range(20)}) > 10
