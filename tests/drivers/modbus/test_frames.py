"""Requests into frames, answers out of noise. The CRC here is our own, not the library's."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frames import RtuFraming, TcpFraming
from drivers.modbus.question import Question, raw_question, read_question, write_question
from fakes.modbus_line import crc

QUESTION = read_question(3, "holding", 8, 2)
ANSWER = bytes.fromhex("03 04 00 08 00 09")


def rtu(unit: int, pdu: bytes) -> bytes:
    return bytes([unit]) + pdu + crc(bytes([unit]) + pdu)


def tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


def test_requests_are_the_frames_of_real_devices() -> None:
    framing = RtuFraming()
    # Vectors: a read of an XY-MD02, the start of a Yosemitech Y520, the relays of an LCTech board.
    assert framing.framed(read_question(1, "input", 1, 2)).hex() == "0104000100022" + "00b"
    assert framing.framed(raw_question(1, bytes.fromhex("101c00000000"))).hex() == "01101c00000000d892"
    assert framing.framed(write_question(255, "coil", 0, [1], is_single=True)).hex() == "ff050000ff0099e4"
    all_on = write_question(255, "coil", 0, [1] * 8, is_single=False)
    assert framing.framed(all_on).hex() == "ff0f0000000801ff301d"
    run = write_question(1, "holding", 1, [0x0400, 0x1019], is_single=False)
    assert framing.framed(run)[:-2].hex() == "0110000100020404001019"


def test_negative_values_are_written_as_their_bits() -> None:
    assert write_question(1, "holding", 3, [-2], is_single=True).pdu.hex() == "060003fffe"


def test_an_answer_is_found_behind_noise_and_before_more() -> None:
    found = RtuFraming().answer(b"\xffboot v1\r\n\x03" + rtu(3, ANSWER) + b"\x03\x03", QUESTION)
    assert found is not None
    assert (found.pdu, found.start) == (ANSWER, 11)


def test_answers_of_another_unit_function_count_or_checksum_are_none() -> None:
    framing = RtuFraming()
    for frame in (
        rtu(4, ANSWER),
        rtu(3, b"\x04" + ANSWER[1:]),
        rtu(3, bytes.fromhex("03 02 00 08")),
        rtu(3, bytes.fromhex("03 06 00 08 00 09 00 0a")),
        rtu(3, b"\x84\x02"),
        rtu(3, ANSWER)[:-1] + b"\x00",
        rtu(3, ANSWER)[:-1],
        framing.framed(QUESTION),
    ):
        assert framing.answer(frame, QUESTION) is None, frame.hex(" ")


def test_an_exception_to_the_function_is_an_answer() -> None:
    found = RtuFraming().answer(rtu(3, b"\x83\x02"), QUESTION)
    assert found is not None
    assert QUESTION.is_refused_by(found.pdu)
    assert not QUESTION.is_answered_by(found.pdu)


def test_the_answer_to_an_unusual_function_may_have_any_length() -> None:
    question = raw_question(7, bytes.fromhex("41 01"))
    found = RtuFraming().answer(b"\x00" + rtu(7, b"\x41\x05hello"), question)
    assert found is not None
    assert found.pdu == b"\x41\x05hello"


def test_frames_of_all_units_are_told_apart() -> None:
    arrived = b"\x00\x11" + rtu(3, ANSWER) + b"zz" + rtu(4, b"\x84\x06") + rtu(5, bytes.fromhex("06 00 01 00 07"))
    assert [(frame.unit, frame.pdu[0]) for frame in RtuFraming().frames(arrived)] == [(3, 3), (4, 0x84), (5, 6)]


def test_a_tcp_answer_is_known_by_its_number_even_behind_a_banner() -> None:
    framing = TcpFraming()
    framing.framed(QUESTION)
    framing.framed(QUESTION)
    arrived = b"login: \r\n" + tcp(1, 3, b"\x03\x02\x00\x07") + tcp(2, 3, ANSWER)
    found = framing.answer(arrived, QUESTION)
    assert found is not None
    assert found.pdu == ANSWER
    assert framing.whole_length(arrived + b"\x00\x03\x00") == len(arrived)


def test_a_tcp_answer_to_unit_0_may_come_from_the_device_behind_it() -> None:
    framing = TcpFraming()
    question = read_question(0, "holding", 8, 2)
    framing.framed(question)
    assert framing.answer(tcp(1, 255, ANSWER), question) is not None
    framing.framed(QUESTION)
    assert framing.answer(tcp(2, 255, ANSWER), QUESTION) is None


def test_numbers_of_tcp_requests_run_through_all_there_are_and_leave_out_zero() -> None:
    framing = TcpFraming()
    numbers = [int.from_bytes(framing.framed(QUESTION)[:2], "big") for _ in range(0x10001)]
    assert numbers == [*range(1, 0x10000), 1, 2]


questions = st.builds(
    read_question,
    st.integers(1, 247),
    st.sampled_from(["coil", "discrete", "holding", "input"]),
    st.integers(0, 0xFF00),
    st.integers(1, 125),
)


@given(questions, st.binary(max_size=64), st.binary(max_size=64))
def test_any_bytes_around_an_answer_do_no_harm(question: Question, before: bytes, after: bytes) -> None:
    assert question.answer_length is not None
    pdu = question.answer_start + bytes(question.answer_length - 2)
    found = RtuFraming().answer(before + rtu(question.unit, pdu) + after, question)
    assert found is not None
    assert question.is_answered_by(found.pdu) or question.is_refused_by(found.pdu)


@given(questions, st.binary(max_size=300))
def test_whatever_is_found_has_the_right_unit_function_count_and_checksum(question: Question, arrived: bytes) -> None:
    found = RtuFraming().answer(arrived, question)
    if found is not None:
        frame = arrived[found.start : found.end]
        assert crc(frame[:-2]) == frame[-2:]
        assert found.unit == question.unit
        assert question.is_answered_by(found.pdu) or question.is_refused_by(found.pdu)
    list(RtuFraming().frames(arrived))
    TcpFraming().answer(arrived, question)
