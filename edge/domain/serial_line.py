"""How characters cross a serial line: the speed, and the format that people write as `8N1`."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Parity: TypeAlias = Literal["N", "E", "O"]

_FORMAT = re.compile(r"([78])([NEO])([12])")
BAUD_RATES = (300, 600, 1200, 2400, 4800, 9600, 14_400, 19_200, 28_800, 38_400, 57_600, 115_200, 230_400, 460_800)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFormat:
    """Data bits, parity and stop bits of each character."""

    data_bits: int
    parity: Parity
    stop_bits: int

    @property
    def bits_per_character(self) -> int:
        """How many bit times a character takes, its start bit included."""
        return 1 + self.data_bits + (self.parity != "N") + self.stop_bits


def line_format(text: str) -> LineFormat:
    """Read `8N1`. Raises ValueError for anything else than 7 or 8, N, E or O, 1 or 2."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ValueError(f"format is {text!r}; write it like '8N1': 7 or 8 data bits, N, E or O, 1 or 2 stop bits")
    data_bits, parity, stop_bits = match.groups()
    return LineFormat(data_bits=int(data_bits), parity=_parity(parity), stop_bits=int(stop_bits))


def _parity(letter: str) -> Parity:
    return "E" if letter == "E" else "O" if letter == "O" else "N"


def character_s(baud_rate: int, form: LineFormat) -> float:
    """Return how long one character takes on the line, in seconds."""
    return form.bits_per_character / baud_rate
