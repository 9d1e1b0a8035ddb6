"""Cutting a stream of bytes into lines, whatever pieces it comes in. No I/O."""

from collections.abc import Sequence

from drivers.decoders.frame import FRAME_LENGTH_MAX

# Enough to recognise a line in a log.
EXCERPT_LENGTH_MAX = 80

# At the edges of a line: the other half of "\r\n", blanks, and the zeros that a break on the line leaves.
_EDGES = b"\r\n\t\0 "


class LineFrames:
    """The part of a decoder that finds lines. A frame is one line without its end; empty lines are no frames.

    Every other line is one, also a boot message or noise: `fields` says what is wrong with it. What goes on for longer
    than FRAME_LENGTH_MAX without an end is passed over up to the next end.
    """

    def __init__(self, *, terminator: str = "\n") -> None:
        if not terminator:
            raise ValueError("terminator is empty; say what ends a line")
        self._terminator = terminator.encode()
        self._line_length_max = FRAME_LENGTH_MAX + 1 - len(self._terminator)
        self._pending = b""
        self._is_too_long = False

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take bytes in; return the lines that are complete now, in order."""
        *complete, self._pending = (self._pending + data).split(self._terminator)
        frames = []
        for line in complete:
            frame = line.strip(_EDGES)
            if frame and not self._is_too_long and len(line) <= self._line_length_max:
                frames.append(frame)
            self._is_too_long = False
        if len(self._pending) > FRAME_LENGTH_MAX:
            # Only what may be the beginning of the terminator still matters.
            self._pending = self._pending[len(self._pending) + 1 - len(self._terminator) :]
            self._is_too_long = True
        return frames

    def reset(self) -> None:
        """Forget half a line."""
        self._pending = b""
        self._is_too_long = False


def text_of_line(frame: bytes) -> str:
    """Return a line as text. Instruments write a degree sign in UTF-8 or in Latin-1; the rest is ASCII."""
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return frame.decode("latin-1")


def excerpt(line: str) -> str:
    """Quote a line for a message, its beginning if it is long."""
    return repr(line) if len(line) <= EXCERPT_LENGTH_MAX else f"{line[:EXCERPT_LENGTH_MAX]!r}..."
