"""Bytes on a serial line, their times, and the faults of the line. No I/O."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.simulation.faults import LATE_BY_S, Fault

# What speaks by itself is asked for its words this often.
BEAT_S = 1.0
# Seen after power dips: greetings of relay boards and boot loaders.
GREETING = b"\r\nSystem start V1.04\r\n"


@dataclass(frozen=True, slots=True)
class Utterance:
    """Bytes that a device puts on the line, and how long after the bytes before them, in seconds."""

    data: bytes
    after_s: float = 0.0


class Speaker(Protocol):
    """The far end of a line: one instrument, or a bus with several."""

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:
        """Take what arrived; return what is said to it."""

    def beat(self, now_s: float) -> Sequence[Utterance]:
        """Return what is said unasked; called each BEAT_S."""


def disturbed(
    answer: bytes, fault: Fault | None, chance: random.Random, *, question: bytes = b"", greeting: bytes = GREETING
) -> Sequence[Utterance]:
    """Return an answer as it arrives over a line with this fault."""
    match fault:
        case Fault.SILENT | Fault.OFFLINE:
            return ()
        case Fault.LATE:
            return (Utterance(answer, LATE_BY_S),)
        case Fault.ECHO:
            return (Utterance(question + answer),)
        case Fault.BANNER:
            return (Utterance(greeting + answer),)
        case Fault.NOISE:
            return (Utterance(_with_a_wrong_bit(answer, chance)),)
        case _:
            return (Utterance(answer),)


def _with_a_wrong_bit(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes((data[place] ^ 1 << chance.randrange(8),)) + data[place + 1 :]
