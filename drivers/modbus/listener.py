"""Who listens to a line: keeps what arrives, finds the answer in it, and takes note of everything else. No I/O.

Time comes in as an argument, in seconds of the loop.
"""

import secrets
from dataclasses import dataclass
from typing import Protocol

from drivers.modbus.frames import FRAME_LENGTH_MAX, Frame, RtuFraming, TcpFraming
from drivers.modbus.owed import OwedAnswers
from drivers.modbus.question import Question

# What is kept of a line that babbles: a few of the longest answers.
ARRIVED_LENGTH_MAX = 4 * FRAME_LENGTH_MAX
# An answer that equals the last one, to another question: so long another one is waited for, and at least until the
# unit has had half as long again as for its last answer.
DOUBT_S_MIN = 0.01
DOUBT_FACTOR = 1.5


class Listener(Protocol):
    """What a wire wants of the one who listens."""

    def ask(self, question: Question, now_s: float) -> bytes:
        """Forget what arrived and wait for the answer to this; returns the frame to send."""

    def hear(self, data: bytes, now_s: float) -> bytes | None:
        """Take what arrived. Returns the answer's PDU when it is complete, an exception included."""

    @property
    def doubts_until_s(self) -> float | None:
        """Until when another answer may follow the one that came; None if there is no such doubt."""

    @property
    def must_ask_again(self) -> bool:
        """Whether the answer that is doubted is not to be believed, but asked for once more."""

    def believe(self) -> bytes | None:
        """Return the answer that was doubted, since nothing better followed; None if there is none."""

    def give_up(self, now_s: float) -> bytes:
        """Stop waiting; returns what arrived and was no answer to anybody."""


class TcpListener:
    """For Modbus/TCP, where the request's number tells everything."""

    doubts_until_s = None
    must_ask_again = False

    def __init__(self) -> None:
        # By chance: a gateway that hands a late answer to the next connection must not find its number there again.
        self._framing = TcpFraming(secrets.randbelow(0xFFFF))
        self._question: Question | None = None
        self._arrived = bytearray()

    def ask(self, question: Question, now_s: float) -> bytes:  # noqa: ARG002 - the protocol's
        """Wait for the answer to this. What arrived before stays: half an answer may be among it."""
        self._question = question
        return self._framing.framed(question)

    def hear(self, data: bytes, now_s: float) -> bytes | None:  # noqa: ARG002
        """Take what arrived; answers to older requests are passed over."""
        self._arrived += data
        # Before it is looked at: a peer that floods us must not keep everybody else waiting.
        del self._arrived[:-ARRIVED_LENGTH_MAX]
        if self._question is None:
            del self._arrived[: self._framing.whole_length(bytes(self._arrived))]
            return None
        frame = self._framing.answer(bytes(self._arrived), self._question)
        if frame is None:
            return None
        del self._arrived[: frame.end]
        self._question = None
        return frame.pdu

    def believe(self) -> bytes | None:
        """There is no doubt on Modbus/TCP."""
        return None

    def give_up(self, now_s: float) -> bytes:  # noqa: ARG002
        """Stop waiting; returns what is left when whole frames are taken away: the stream is torn there."""
        self._question = None
        del self._arrived[: self._framing.whole_length(bytes(self._arrived))]
        return bytes(self._arrived)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """The last answer, by which a second copy of it is recognised."""

    question: Question
    pdu: bytes
    took_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An answer that may be the last one once more."""

    pdu: bytes
    at_s: float


class RtuListener:
    """For RTU, where an answer shows its unit, function and length and no more."""

    def __init__(self, owed: OwedAnswers) -> None:
        self._owed = owed
        self._framing = RtuFraming()
        self._question: Question | None = None
        # Of the request before, when nobody is asked.
        self._unit: int | None = None
        self._asked_s = 0.0
        self._sent = b""
        self._arrived = bytearray()
        self._last: _Answered | None = None
        self._candidate: _Candidate | None = None
        # What was asked just before, and had only a doubted answer.
        self._doubted: Question | None = None
        # Whether the line gives back what is sent on it; None = not known yet.
        self.echoes: bool | None = None
        self._has_echoed = False
        self.doubts_until_s: float | None = None

    def ask(self, question: Question, now_s: float) -> bytes:
        """Forget what arrived and wait for the answer to this."""
        self._arrived.clear()
        self._question, self._asked_s, self._unit = question, now_s, question.unit
        self._sent = self._framing.framed(question)
        self._has_echoed = False
        self._candidate = self.doubts_until_s = None
        return self._sent

    def hear(self, data: bytes, now_s: float) -> bytes | None:
        """Take what arrived: our own echo, noise, late and doubled answers, and the answer."""
        self._arrived += data
        del self._arrived[:-ARRIVED_LENGTH_MAX]
        if self._question is None:
            # A line that babbles is looked through again with every byte; a late answer needs no more room than this.
            del self._arrived[:-FRAME_LENGTH_MAX]
            self._overhear(bytes(self._arrived), now_s)
            return None
        self._drop_echo()
        while (frame := self._framing.answer(bytes(self._arrived), self._question)) is not None:
            before = bytes(self._arrived[: frame.start])
            del self._arrived[: frame.end]
            self._overhear(before, now_s)
            if self._candidate is None and not self._looks_doubled(frame.pdu):
                return self._answered(frame.pdu, now_s)
            assert self._last is not None, "it equals the last one"
            if self._candidate is not None:
                # So the one before was the last one once more.
                self._owed.repeated(frame.unit, self._candidate.at_s - self._last.at_s)
                return self._answered(frame.pdu, now_s)
            self._candidate = _Candidate(frame.pdu, now_s)
            self.doubts_until_s = max(now_s + DOUBT_S_MIN, self._asked_s + DOUBT_FACTOR * self._last.took_s)
        return None

    @property
    def must_ask_again(self) -> bool:
        """Whether a doubted answer is worth a second request: until it is known that the unit does not answer twice.

        It may be the last one once more, and the right one lost. What answers the same request a second time is its
        answer, whichever of the two it belongs to.
        """
        if self._candidate is None or self._question is None or self._question == self._doubted:
            return False
        return not self._owed.is_single(self._question.unit)

    def believe(self) -> bytes | None:
        """Take the answer that was doubted; None if there is none."""
        if self._candidate is None:
            return None
        assert self._question is not None, "it is an answer"
        if self._question == self._doubted:
            self._owed.confirmed(self._question.unit)
        return self._answered(self._candidate.pdu, self._candidate.at_s)

    def give_up(self, now_s: float) -> bytes:
        """Stop waiting; returns what arrived and belongs to nobody."""
        question, self._question = self._question, None
        if question is not None:
            self._owed.missed(question, self._asked_s)
            if not self._arrived and not self._has_echoed:
                # An echo comes at once, whether the unit is there or not.
                self.echoes = False
        self._doubted = None if self._candidate is None else question
        self._candidate = self.doubts_until_s = None
        if self._has_echoed:
            self.echoes = True
        return self._overhear(bytes(self._arrived), now_s)

    def _answered(self, pdu: bytes, now_s: float) -> bytes:
        question = self._question
        assert question is not None, "nobody answers who was not asked"
        if not question.is_its_own_answer:
            self.echoes = self._has_echoed
        self._last = _Answered(question=question, pdu=pdu, took_s=now_s - self._asked_s, at_s=now_s)
        self._owed.answered(question, pdu, self._asked_s)
        self._question = self._candidate = self._doubted = self.doubts_until_s = None
        self._overhear(bytes(self._arrived), now_s)
        return pdu

    def _drop_echo(self) -> None:
        """Take our own request out of what arrived, and what stands before it: that came before we asked."""
        question = self._question
        assert question is not None, "an echo is one of a request"
        if self._has_echoed or (self.echoes is False and question.may_equal_its_answer):
            return
        at = self._arrived.find(self._sent)
        if at >= 0:
            self._has_echoed = True
            del self._arrived[: at + len(self._sent)]

    def _looks_doubled(self, pdu: bytes) -> bool:
        """Whether this may be the last answer once more. Two blocks that hold the same look just like that."""
        last, question = self._last, self._question
        assert question is not None, "it is an answer"
        return (
            last is not None and last.pdu == pdu and last.question.unit == question.unit and last.question != question
        )

    def _overhear(self, data: bytes, now_s: float) -> bytes:
        """Take note of answers that nobody waits for; returns what was none of these."""
        rest, at = bytearray(), 0
        for frame in self._framing.frames(data):
            if self._is_explained(frame, now_s):
                rest += data[at : frame.start]
                at = frame.end
        rest += data[at:]
        if self._question is None:
            self._arrived[:] = rest
        return bytes(rest)

    def _is_explained(self, frame: Frame, now_s: float) -> bool:
        """Whether a frame is an owed answer, the last one once more, or of a unit that nobody asked."""
        last = self._last
        if self._owed.heard(frame, now_s):
            return True
        if last is not None and (frame.unit, frame.pdu) == (last.question.unit, last.pdu):
            self._owed.repeated(frame.unit, now_s - last.at_s)
            return True
        return frame.unit != self._unit
