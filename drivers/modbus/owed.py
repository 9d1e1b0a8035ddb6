"""Answers that may still come on an RTU line, and how late its units were seen to be. Pure.

An RTU answer shows its unit, its function and its length, and nothing of the request it belongs to. A unit that left a
request unanswered may therefore answer it later, and that answer looks like the one to the next request of the same
kind (reproduced with pymodbus: facts/libraries.md 1.3). Waiting alone cannot exclude that: there is always a device, or
a converter in front of it, that is later than any wait. What can be known:

- The owed answer arrives while no question is open: it is settled, and shows how late this unit can be.
- A unit answers in the order in which it was asked. Its answer to a request of *another* kind (another length or
  function) proves that nothing older comes any more. Where an answer could be taken for an owed one, such a request is
  made first: the same registers, another number of them (`fence`).
- After LATENESS_S_MAX nothing comes any more.
"""

from dataclasses import dataclass, replace

from drivers.decoders.modbus_pdu import EXCEPTION_BIT
from drivers.decoders.modbus_point import BIT_TABLES
from drivers.modbus.frames import Frame
from drivers.modbus.plan import Block
from drivers.modbus.question import Question, Shape, read_question

# No device and no converter that we know of keeps an answer longer than a few seconds.
LATENESS_S_MAX = 10.0
# A unit that was late once may be later the next time.
LATENESS_FACTOR = 2.0
# The same factor holds for a unit that sends its answers twice, and the time from the first to the second. A second
# answer later than this is not waited for.
REPEAT_S_MAX = 0.25
REPEAT_MARGIN_S = 0.005
# After so many suspect answers that a second request confirmed, the unit counts as one that answers once.
CONFIRMED_MIN = 5
# How far a fence may reach beyond the registers (or bytes of bits) that were asked for.
FENCE_REACH = 4
REGISTERS_MAX, BITS_MAX = 125, 2000


@dataclass(frozen=True, slots=True)
class _Asked:
    """When a kind of request was left unanswered for the first and for the last time, in seconds of the loop."""

    first_s: float
    last_s: float


class OwedAnswers:
    """What the units of one line owe. Outlives the connection: a converter may hand a late answer to the next one."""

    def __init__(self) -> None:
        self._owed: dict[int, dict[Shape, _Asked]] = {}
        self._lateness_s: dict[int, float] = {}
        self._repeat_s: dict[int, float] = {}
        self._confirmed: dict[int, int] = {}

    def missed(self, question: Question, asked_s: float) -> None:
        """Note that a request was not answered in time."""
        owed = self._current(question.unit, asked_s)
        first_s = owed[question.shape].first_s if question.shape in owed else asked_s
        owed[question.shape] = _Asked(first_s, asked_s)

    def answered(self, question: Question, pdu: bytes, asked_s: float) -> None:
        """Note that a request was answered: by the order of answers, what was asked of the unit before is settled."""
        if question.unit not in self._owed:
            return
        owed = self._current(question.unit, asked_s)
        before = owed.get(question.shape)
        # It may be the answer to the oldest request of its kind, and then proves nothing about younger ones.
        proof_s = asked_s if before is None else before.first_s
        # An exception may answer an older request of the function, if there is one; the answer to this is then still to
        # come. Else it is the answer: a device that lacks a register refuses it in every poll.
        is_doubtful = question.is_refused_by(pdu) and self.is_refusal_doubtful(question, asked_s)
        self._settle(question.unit, proof_s)
        if before is not None or is_doubtful:
            owed[question.shape] = _Asked(proof_s, asked_s)

    def heard(self, frame: Frame, now_s: float) -> bool:
        """Take note of an answer to no open question. True if it was owed: it is settled, and its lateness kept."""
        owed = self._current(frame.unit, now_s)
        for shape, asked in owed.items():
            if _may_answer(frame.pdu, shape):
                late_s = now_s - asked.last_s
                self._lateness_s[frame.unit] = max(late_s, self._lateness_s.get(frame.unit, 0.0))
                self._settle(frame.unit, asked.first_s)
                if asked.first_s == asked.last_s:
                    del owed[shape]
                return True
        return False

    def repeated(self, unit: int, after_s: float) -> None:
        """Note that a unit sent an answer a second time, so long after the first."""
        if after_s <= REPEAT_S_MAX:
            self._repeat_s[unit] = max(after_s, self._repeat_s.get(unit, 0.0))

    def confirmed(self, unit: int) -> None:
        """Note that a suspect answer, a possible duplicate of the last one, was right."""
        self._confirmed[unit] = self._confirmed.get(unit, 0) + 1

    def is_single(self, unit: int) -> bool:
        """Whether a unit is known to answer once: an answer that equals the last one is another one."""
        return unit not in self._repeat_s and self._confirmed.get(unit, 0) >= CONFIRMED_MIN

    def is_doubtful(self, question: Question, now_s: float) -> bool:
        """Whether the answer to this could be taken for an owed one."""
        return question.unit in self._owed and question.shape in self._current(question.unit, now_s)

    def is_refusal_doubtful(self, question: Question, now_s: float) -> bool:
        """Whether an exception to this could be that to an older request of the same function."""
        return any(start[0] == question.function for _, start, _ in self._current(question.unit, now_s))

    def answers_by_s(self, unit: int) -> float:
        """Return how long after a request its late answer may come, by what was seen; 0 if none was seen."""
        return LATENESS_FACTOR * self._lateness_s.get(unit, 0.0)

    def repeats_by_s(self, unit: int) -> float:
        """Return how long after an answer it may come a second time; 0 for a unit that was never seen to do so."""
        seen_s = self._repeat_s.get(unit)
        return 0.0 if seen_s is None else LATENESS_FACTOR * seen_s + REPEAT_MARGIN_S

    def fence(self, unit: int, block: Block, now_s: float) -> Question | None:
        """Return a read whose answer proves that the unit does not owe the block's any more; None if there is none.

        It asks for the block's first registers (or bits), but for so many that the answer has another length: for
        fewer where that is possible, else for a few more. A refusal of it is as good a proof.
        """
        owed = self._current(unit, now_s)
        wanted = read_question(unit, block.table, block.address, block.count)
        asked_s = owed[wanted.shape].last_s if wanted.shape in owed else now_s
        step, longest = (8, BITS_MAX) if block.table in BIT_TABLES else (1, REGISTERS_MAX)
        fewer = range(block.count - step, 0, -step)
        more = range(block.count + step, block.count + FENCE_REACH * step + 1, step)
        for count in (*fewer, *more):
            if count > longest:
                continue
            # At the table's end the registers before the block's do as well.
            question = read_question(unit, block.table, min(block.address, 0x10000 - count), count)
            # One that is owed itself is as good if it was never asked before the block was asked for the last time.
            if question.shape not in owed or owed[question.shape].first_s > asked_s:
                return replace(question, text=f"{wanted.text}, asked for as {question.text}")
        return None

    def _current(self, unit: int, now_s: float) -> dict[Shape, _Asked]:
        """Return what the unit owes, without what is too old to come."""
        owed = self._owed.setdefault(unit, {})
        for shape, asked in list(owed.items()):
            if now_s - asked.last_s > LATENESS_S_MAX:
                del owed[shape]
        return owed

    def _settle(self, unit: int, before_s: float) -> None:
        owed = self._owed[unit]
        for shape, asked in list(owed.items()):
            if asked.last_s < before_s:
                del owed[shape]


def _may_answer(pdu: bytes, shape: Shape) -> bool:
    _, start, length = shape
    is_refusal = len(pdu) == 2 and pdu[0] == start[0] | EXCEPTION_BIT
    return is_refusal or (pdu.startswith(start) and length in {None, len(pdu)})
