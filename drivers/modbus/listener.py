"""Finds the answer to a request in the bytes that arrive, and takes note of all others. No I/O.

Time comes in as an argument, in seconds of the loop.
"""

import secrets
from dataclasses import dataclass

from drivers.modbus.frames import FRAME_LENGTH_MAX, Frame, RtuFraming, TcpFraming
from drivers.modbus.owed import OwedAnswers
from drivers.modbus.question import Question

# The bytes kept of a line that never stops sending: a few of the longest answers.
ARRIVED_LENGTH_MAX = 4 * FRAME_LENGTH_MAX
# An answer that equals the last one, to another question, may be a duplicate. The wait for a second answer lasts until
# the later of two moments: so long after the first, and this factor of the time that the unit took for its last answer.
SUSPECT_S_MIN = 0.01
SUSPECT_FACTOR = 1.5


class TcpListener:
    """For Modbus/TCP, where the answer carries the number of its request: there is never a suspect."""

    suspect_until_s = None
    must_repeat = False

    def __init__(self) -> None:
        # By chance: a gateway may hand a late answer to the next connection, where its number must not be in use.
        self._framing = TcpFraming(secrets.randbelow(0xFFFF))
        self._question: Question | None = None
        self._arrived = bytearray()

    def ask(self, question: Question, now_s: float) -> bytes:  # noqa: ARG002 - the protocol's
        """Return the frame to send. What arrived before stays: it may end with half an answer."""
        self._question = question
        return self._framing.framed(question)

    def hear(self, data: bytes, now_s: float) -> bytes | None:  # noqa: ARG002
        """Take what arrived; return the answer's PDU when it is complete. Answers to older requests are skipped."""
        self._arrived += data
        # Cut before the search: a peer that floods us must not delay the other connections.
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

    def accept_suspect(self) -> bytes | None:
        """Return None: there is no suspect."""
        return None

    def give_up(self, now_s: float) -> bytes:  # noqa: ARG002
        """Stop waiting; return what is left without the whole frames. If there is any, the stream is torn."""
        self._question = None
        del self._arrived[: self._framing.whole_length(bytes(self._arrived))]
        return bytes(self._arrived)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """The last answer: a duplicate is recognised by it."""

    question: Question
    pdu: bytes
    took_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class _Suspect:
    """An answer that may be a duplicate of the last one."""

    pdu: bytes
    at_s: float


class RtuListener:
    """For RTU, where an answer shows its unit, function and length and no more.

    What holds of it, and the test of each:

    - `ask` forgets what arrived before it.
      `test_what_arrived_before_a_question_is_no_answer_to_it`
    - Our own echo, and all that stands before it, is no answer.
      `test_what_stood_before_our_own_echo_came_before_we_asked`
    - An answer is a suspect if it equals the last one of the unit and answers another question. `hear` keeps it back.
      `test_an_answer_that_equals_the_last_one_is_accepted_a_little_later`
    - An answer that follows a suspect is returned in its place.
      `test_a_doubled_answer_in_front_of_the_right_one_teaches_that_the_unit_answers_twice`
    - The answer to the same question is never a suspect.
      `test_the_answer_to_the_same_question_is_never_a_suspect`
    - A suspect is worth one more request, not two, and none where the unit is known to answer once.
      `test_a_suspect_is_asked_for_once_more_until_the_unit_is_known_to_answer_once`
    - An answer that comes after `give_up` is never returned; it settles what the unit owes.
      `test_a_late_answer_with_the_value_of_before_is_a_late_one_and_no_double`
    - At most ARRIVED_LENGTH_MAX bytes are kept, and FRAME_LENGTH_MAX while no question waits.
      `test_bytes_without_end_are_not_kept`, `test_bytes_that_nobody_asked_for_are_not_kept_either`
    """

    def __init__(self, owed: OwedAnswers) -> None:
        self._owed = owed
        self._framing = RtuFraming()
        self._question: Question | None = None
        # The unit of the last request, also after its end.
        self._unit: int | None = None
        self._asked_s = 0.0
        self._sent = b""
        self._arrived = bytearray()
        self._last: _Answered | None = None
        self._suspect: _Suspect | None = None
        # The request just before, if a suspect was its only answer.
        self._suspected: Question | None = None
        # Whether the line returns what is sent on it; None = not known yet.
        self.echoes: bool | None = None
        self._has_echoed = False
        # Until when an answer may follow the suspect; None = there is no suspect.
        self.suspect_until_s: float | None = None

    def ask(self, question: Question, now_s: float) -> bytes:
        """Forget what arrived; return the frame to send."""
        self._arrived.clear()
        self._question, self._asked_s, self._unit = question, now_s, question.unit
        self._sent = self._framing.framed(question)
        self._has_echoed = False
        self._suspect = self.suspect_until_s = None
        return self._sent

    def hear(self, data: bytes, now_s: float) -> bytes | None:
        """Take what arrived: echo, noise, late and duplicate answers. Return the answer's PDU when it is complete."""
        self._arrived += data
        del self._arrived[:-ARRIVED_LENGTH_MAX]
        if self._question is None:
            # All kept bytes are searched again with each byte that arrives. A late answer needs no more room than this.
            del self._arrived[:-FRAME_LENGTH_MAX]
            self._note_unasked(bytes(self._arrived), now_s)
            return None
        self._drop_echo()
        while (frame := self._framing.answer(bytes(self._arrived), self._question)) is not None:
            before = bytes(self._arrived[: frame.start])
            del self._arrived[: frame.end]
            self._note_unasked(before, now_s)
            if self._suspect is None and not self._looks_doubled(frame.pdu):
                return self._answered(frame.pdu, now_s)
            assert self._last is not None, "it equals the last one"
            if self._suspect is not None:
                # So the suspect was a duplicate.
                self._owed.repeated(frame.unit, self._suspect.at_s - self._last.at_s)
                return self._answered(frame.pdu, now_s)
            self._suspect = _Suspect(frame.pdu, now_s)
            self.suspect_until_s = max(now_s + SUSPECT_S_MIN, self._asked_s + SUSPECT_FACTOR * self._last.took_s)
        return None

    @property
    def must_repeat(self) -> bool:
        """Whether a suspect is worth a second request: until it is known that the unit answers once.

        It may be a duplicate, and the right answer lost. The answer to the repeated request is right, whichever of the
        two requests it belongs to.
        """
        if self._suspect is None or self._question is None or self._question == self._suspected:
            return False
        return not self._owed.is_single(self._question.unit)

    def accept_suspect(self) -> bytes | None:
        """Accept the answer that may be a duplicate of the last one; None if there is none."""
        if self._suspect is None:
            return None
        assert self._question is not None, "it is an answer"
        if self._question == self._suspected:
            self._owed.confirmed(self._question.unit)
        return self._answered(self._suspect.pdu, self._suspect.at_s)

    def give_up(self, now_s: float) -> bytes:
        """Stop waiting; return what arrived and answers no request."""
        question, self._question = self._question, None
        if question is not None:
            self._owed.missed(question, self._asked_s)
            if not self._arrived and not self._has_echoed:
                # An echo comes at once, whether the unit is there or not.
                self.echoes = False
        self._suspected = None if self._suspect is None else question
        self._suspect = self.suspect_until_s = None
        if self._has_echoed:
            self.echoes = True
        return self._note_unasked(bytes(self._arrived), now_s)

    def _answered(self, pdu: bytes, now_s: float) -> bytes:
        question = self._question
        assert question is not None, "an answer has a question"
        if not question.is_its_own_answer:
            self.echoes = self._has_echoed
        self._last = _Answered(question=question, pdu=pdu, took_s=now_s - self._asked_s, at_s=now_s)
        self._owed.answered(question, pdu, self._asked_s)
        self._question = self._suspect = self._suspected = self.suspect_until_s = None
        self._note_unasked(bytes(self._arrived), now_s)
        return pdu

    def _drop_echo(self) -> None:
        """Remove our own request from what arrived, and what stands before it: that came before we asked."""
        question = self._question
        assert question is not None, "an echo is one of a request"
        if self._has_echoed or (self.echoes is False and question.may_equal_its_answer):
            return
        at = self._arrived.find(self._sent)
        if at >= 0:
            self._has_echoed = True
            del self._arrived[: at + len(self._sent)]

    def _looks_doubled(self, pdu: bytes) -> bool:
        """Whether this may be a duplicate of the last answer. Two blocks with equal values look the same."""
        last, question = self._last, self._question
        assert question is not None, "it is an answer"
        return (
            last is not None and last.pdu == pdu and last.question.unit == question.unit and last.question != question
        )

    def _note_unasked(self, data: bytes, now_s: float) -> bytes:
        """Take note of answers to no open question; return the bytes that are none."""
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
        """Whether a frame is an owed answer, a duplicate of the last one, or of a unit that was not asked."""
        last = self._last
        if self._owed.heard(frame, now_s):
            return True
        if last is not None and (frame.unit, frame.pdu) == (last.question.unit, last.pdu):
            self._owed.repeated(frame.unit, now_s - last.at_s)
            return True
        return frame.unit != self._unit
