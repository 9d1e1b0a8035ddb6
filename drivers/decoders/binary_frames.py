"""Finding frames of a fixed length by their header and checksum in a stream of bytes. No I/O."""

from collections.abc import Callable, Sequence


class BinaryFrames:
    """The part of a decoder that finds binary frames, and finds them again after lost or added bytes."""

    def __init__(self, *, header: bytes, length: int, is_sound: Callable[[bytes], bool]) -> None:
        self._header = header
        self._length = length
        self._is_sound = is_sound
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take bytes in; return the frames that are complete now, in order.

        A frame whose checksum is wrong comes out as well, for `fields` to say so, unless another one begins within it:
        then bytes were lost, and only the later one counts.
        """
        data = self._pending + data
        frames = []
        start = _find(data, self._header, 0)
        while start + self._length <= len(data):
            candidate = data[start : start + self._length]
            later = _find(candidate, self._header, 1)
            if self._is_sound(candidate):
                frames.append(candidate)
                later = self._length
            elif later + len(self._header) > self._length:
                frames.append(candidate)
            start = _find(data, self._header, start + later)
        self._pending = data[start:]
        return frames

    def reset(self) -> None:
        """Forget half a frame."""
        self._pending = b""


def _find(data: bytes, header: bytes, first: int) -> int:
    """Return where a header begins, at `first` or later; half a header at the end counts. Without any, the length."""
    found = data.find(header, first)
    if found >= 0:
        return found
    halves = range(max(first, len(data) + 1 - len(header)), len(data))
    return next((start for start in halves if header.startswith(data[start:])), len(data))
