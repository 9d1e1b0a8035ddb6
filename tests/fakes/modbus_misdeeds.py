"""Units that misbehave as real ones do, now and then and by chance: late, doubled, torn, noisy."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto

from fakes.modbus_line import Asked, Piece
from fakes.modbus_peer import registers_pdu


class Misdeed(StrEnum):
    NONE = auto()
    SILENT = auto()
    LATE = auto()
    VERY_LATE = auto()
    DOUBLED = auto()
    DOUBLED_IN_TWO = auto()
    DOUBLED_LATER = auto()
    TORN = auto()
    IN_PIECES = auto()
    NOISE_BEFORE = auto()
    BANNER_BEFORE = auto()
    WRONG_CHECKSUM = auto()
    WRONG_UNIT = auto()
    WRONG_FUNCTION = auto()
    WRONG_COUNT = auto()
    EXCEPTION = auto()
    ECHO_ONLY = auto()
    ECHO_BEFORE = auto()


# Without a number in the frame these cannot be told from an answer, and with one they are none.
RTU_ONLY = frozenset({Misdeed.WRONG_CHECKSUM, Misdeed.ECHO_ONLY, Misdeed.ECHO_BEFORE})
EACH = tuple(misdeed for misdeed in Misdeed if misdeed is not Misdeed.NONE)


@dataclass
class Disturbed:
    """A behaviour: most requests are answered rightly, the others are not."""

    chance: random.Random
    misdeeds: Sequence[Misdeed]
    # Just beyond the time-out of the one who asks; and beyond any quiet period it begins with.
    late_s: tuple[float, float]
    very_late_s: tuple[float, float]
    share: float = 0.25
    counts: Counter[Misdeed] = field(default_factory=Counter)
    refused: set[int] = field(default_factory=set)

    def __call__(self, asked: Asked) -> Sequence[Piece]:
        misdeed = self.chance.choice(self.misdeeds) if self.chance.random() < self.share else Misdeed.NONE
        self.counts[misdeed] += 1
        if misdeed is Misdeed.EXCEPTION:
            self.refused.add(asked.address)
        return [Piece(data=data, after_s=after_s) for after_s, data in self._pieces(misdeed, asked)]

    def _pieces(self, misdeed: Misdeed, asked: Asked) -> Sequence[tuple[float, bytes]]:
        pdu = asked.right_pdu()
        right = asked.framed(pdu)
        noise = self.chance.randbytes(self.chance.randint(1, 9))
        middle = self.chance.randint(1, len(right) - 1)
        return {
            Misdeed.NONE: [(0.0, right)],
            Misdeed.SILENT: [],
            Misdeed.LATE: [(self.chance.uniform(*self.late_s), right)],
            Misdeed.VERY_LATE: [(self.chance.uniform(*self.very_late_s), right)],
            Misdeed.DOUBLED: [(0.0, right + right)],
            Misdeed.DOUBLED_IN_TWO: [(0.0, right), (0.0, right)],
            # When the next request is on its way.
            Misdeed.DOUBLED_LATER: [(0.0, right), (0.004, right)],
            Misdeed.TORN: [(0.0, right[:middle])],
            Misdeed.IN_PIECES: [(0.0, right[:middle]), (0.001, right[middle:])],
            Misdeed.NOISE_BEFORE: [(0.0, noise + right)],
            Misdeed.BANNER_BEFORE: [(0.0, b"\r\nboot v1.2\r\n" + right)],
            Misdeed.WRONG_CHECKSUM: [(0.0, right[:-1] + bytes([right[-1] ^ 0x55]))],
            Misdeed.WRONG_UNIT: [(0.0, asked.framed(pdu, unit=asked.unit + 1))],
            Misdeed.WRONG_FUNCTION: [(0.0, asked.framed(bytes([7 - pdu[0]]) + pdu[1:]))],
            Misdeed.WRONG_COUNT: [(0.0, asked.framed(registers_pdu(pdu[0], [7] * (asked.count + 5))))],
            Misdeed.EXCEPTION: [(0.0, asked.framed(bytes([pdu[0] | 0x80, 4])))],
            Misdeed.ECHO_ONLY: [(0.0, asked.frame)],
            Misdeed.ECHO_BEFORE: [(0.0, asked.frame), (0.0, right)],
        }[misdeed]
