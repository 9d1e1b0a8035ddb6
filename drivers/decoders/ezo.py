"""Atlas Scientific EZO circuits (pH, EC, DO, ORP, RTD) over UART: lines that end with CR (EZO-pH data sheet). No I/O.

A reading is a number, or several with commas in the output order that `O,...` has set; fields are numbered from 0.
Everything else is text that must never become a number: answers to other commands (`?I,pH,1.96`), `no output`, and
codes that a circuit may send at any moment, between a question and its answer as well.
"""

import re
from collections.abc import Mapping, Sequence

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line

# A circuit writes a digit on both sides of its decimal point; `.560` and `9.` are the halves of a torn line.
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")

# The codes that are no answer to the question, and their meaning. (`*ER` is an answer.)
CODES: Mapping[str, str] = {
    "*OK": "understood",
    "*OV": "over voltage",
    "*UV": "under voltage",
    "*RS": "reset",
    "*RE": "boot completed",
    "*SL": "asleep",
    "*WA": "awake",
}
_REFUSED = "*ER"
_NO_OUTPUT = "no output"


class EzoDecoder(LineFrames):
    """Fields "0", "1", ... of a reading, as numbers."""

    def __init__(self) -> None:
        super().__init__(terminator="\r")

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take bytes in; return the lines that are complete now. Adapters that add an LF are tolerated."""
        return super().feed(data.replace(b"\n", b"\r"))

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the fields of one line; none for a code. Raises FrameMalformed."""
        line = text_of_line(frame).strip()
        if line.startswith("*"):
            return _code(line)
        if line.startswith("?"):
            raise FrameMalformed(f"{excerpt(line)} is the answer to another command, no reading")
        if line.lower() == _NO_OUTPUT:
            raise FrameMalformed(f"{excerpt(line)}: the circuit has no value, all its outputs are switched off (O,?)")
        parts = [part.strip() for part in line.split(",")]
        if not all(map(_NUMBER.fullmatch, parts)):
            raise FrameMalformed(f"{excerpt(line)} is no reading of an EZO circuit: numbers with commas between them")
        return {str(number): Field(float(part)) for number, part in enumerate(parts)}


def _code(line: str) -> dict[str, Field]:
    code = line.upper()
    if code == _REFUSED:
        raise FrameMalformed("*ER: the circuit does not understand the command")
    if code not in CODES:
        raise FrameMalformed(f"{excerpt(line)} is no code of an EZO circuit")
    return {}
