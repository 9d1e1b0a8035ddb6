"""Frames on the wire: requests put into them, answers found in what arrives. No I/O.

pymodbus makes the frames. Its way of finding them is not used, for what it does with real lines (measured with 3.16):
RTU compares the unit and the CRC alone, so that any late answer will do; one wrong byte, a line's echo or a banner in
front of an answer costs the answer; Modbus/TCP waits without end behind a header that is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.decoders.modbus_pdu import EXCEPTION_BIT, PDU_LENGTH_MAX, reply_length
from drivers.modbus.question import Question

# The longest frame, Modbus/TCP's.
FRAME_LENGTH_MAX = 260
CRC_LENGTH = 2
# Transaction, protocol (always 0), length of what follows, unit.
MBAP_LENGTH = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One whole frame: where it stands in what arrived, and what it says."""

    unit: int
    pdu: bytes
    start: int
    end: int


class TcpFraming:
    """Modbus/TCP: each request has a number, which its answer repeats."""

    def __init__(self, before: int = 0) -> None:
        """`before`: the number before the first request's, from 0 to 0xFFFE."""
        self._framer = FramerSocket(DecodePDU(is_server=False))
        self._transaction = before

    def framed(self, question: Question) -> bytes:
        """Put a request into a frame with the next number."""
        self._transaction = self._transaction % 0xFFFF + 1
        return self._framer.encode(question.pdu, question.unit, self._transaction)

    def answer(self, arrived: bytes, question: Question) -> Frame | None:
        """Return the frame with the number of the request framed last, whatever its function; None if there is none."""
        number = self._transaction.to_bytes(2, "big")
        for frame in _tcp_frames(arrived):
            # Unit 0 is "the device itself", which may answer under its own id.
            if arrived.startswith(number, frame.start) and question.unit in {frame.unit, 0}:
                return frame
        return None

    def whole_length(self, arrived: bytes) -> int:
        """Return where the last whole frame ends."""
        return max((frame.end for frame in _tcp_frames(arrived)), default=0)


def _tcp_frames(arrived: bytes) -> Iterator[Frame]:
    """Yield the whole frames in what arrived; what is no header, a banner for instance, is passed over."""
    start = 0
    while len(arrived) - start > MBAP_LENGTH:
        length = int.from_bytes(arrived[start + 4 : start + 6], "big")
        end = start + MBAP_LENGTH - 1 + length
        if arrived[start + 2 : start + 4] != b"\0\0" or not 2 <= length <= PDU_LENGTH_MAX + 1:
            start += 1
        elif end > len(arrived):
            return
        else:
            yield Frame(unit=arrived[start + 6], pdu=arrived[start + MBAP_LENGTH : end], start=start, end=end)
            start = end


class RtuFraming:
    """RTU: unit, PDU, CRC; nothing shows which request an answer belongs to, nor where a frame begins."""

    def __init__(self) -> None:
        self._framer = FramerRTU(DecodePDU(is_server=False))

    def framed(self, question: Question) -> bytes:
        """Put a request into a frame."""
        return self._framer.encode(question.pdu, question.unit, 0)

    def answer(self, arrived: bytes, question: Question) -> Frame | None:
        """Return the first frame with the right unit, function, count, length and CRC, or an exception to it.

        What stands before it is passed over: noise, a banner, another unit's late answer.
        """
        start = arrived.find(question.unit)
        while start >= 0:
            for length in _answer_lengths(arrived[start + 1 : start + 1 + PDU_LENGTH_MAX], question):
                frame = self._frame_at(arrived, start, length)
                if frame is not None:
                    return frame
            start = arrived.find(question.unit, start + 1)
        return None

    def frames(self, arrived: bytes) -> Iterator[Frame]:
        """Return every answer of whatever unit in what arrived."""
        start = 0
        while start < len(arrived) - CRC_LENGTH:
            length = reply_length(arrived[start + 1 : start + 3])
            frame = self._frame_at(arrived, start, length) if length else None
            if frame is not None:
                yield frame
            start = start + 1 if frame is None else frame.end

    def _frame_at(self, arrived: bytes, start: int, length: int) -> Frame | None:
        crc_start = start + 1 + length
        end = crc_start + CRC_LENGTH
        if end > len(arrived):
            return None
        crc = int.from_bytes(arrived[crc_start:end], "big")
        if not self._framer.check_CRC(arrived[start:crc_start], crc):
            return None
        return Frame(unit=arrived[start], pdu=arrived[start + 1 : crc_start], start=start, end=end)


def _answer_lengths(body: bytes, question: Question) -> range:
    """The lengths that an answer with this begin can have: one for a function we use, else any."""
    if body[:1] == bytes((question.function | EXCEPTION_BIT,)):
        return range(2, 3)
    if not body.startswith(question.answer_start):
        return range(0)
    if question.answer_length is not None:
        return range(question.answer_length, question.answer_length + 1)
    return range(2, len(body) - CRC_LENGTH + 1)
