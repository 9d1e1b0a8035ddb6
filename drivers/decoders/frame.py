"""The interface of serial decoders: from bytes, in any pieces, to frames, and from a frame to fields. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.domain.reading import Reason

# No device of the catalogue says more in one frame (a WXT's longest line is about 250 characters, a JSON node's 1 KiB).
# What goes on longer without an end is noise, and is dropped.
FRAME_LENGTH_MAX = 4096


class FrameMalformed(ValueError):  # noqa: N818 - the vocabulary's word
    """These bytes are no frame of the device; the message says what is wrong with them (checksum, length, text)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value as a frame says it, not yet scaled."""

    # None: the device says that it has none.
    value: float | int | str | bool | None
    # UCUM, where the frame itself names the unit (NMEA, WXT, scales); else the profile's holds.
    unit: str | None = None
    # What the frame says against the value (status V, unit letter #, overload).
    reason: Reason | None = None


class FrameDecoder(Protocol):
    """Gives a device's bytes meaning. Keeps at most FRAME_LENGTH_MAX bytes between calls, whatever it is fed."""

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Take bytes in; return the frames that are complete now, in order. What can be no frame is passed over."""

    def reset(self) -> None:
        """Forget half a frame: before a request, after a hang-up."""

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return a frame's fields by name; none for a frame that is in order and says nothing (a greeting, `*OK`).

        Raises FrameMalformed.
        """
