"""Winsen MH-Z19 CO2 sensors: nine bytes each way (MH-Z19B manual V1.5, p. 7-8). No I/O."""

from collections.abc import Mapping

from drivers.decoders.binary_frames import BinaryFrames
from drivers.decoders.frame import Field, FrameMalformed

# "Read CO2", its checksum included. Set commands (ABC on or off, range) are never answered.
REQUEST = bytes.fromhex("FF 01 86 00 00 00 00 00 79")

_HEADER = b"\xff\x86"
_LENGTH = 9


def checksum(frame: bytes) -> int:
    """Return what the ninth byte must be: bytes 1 to 7, added up and negated."""
    return -sum(frame[1:8]) & 0xFF


class Mhz19Decoder(BinaryFrames):
    """Reads `FF 86 hi lo ...`; field `co2` in ppm."""

    def __init__(self) -> None:
        super().__init__(header=_HEADER, length=_LENGTH, is_sound=lambda frame: frame[8] == checksum(frame))

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return `co2`. Raises FrameMalformed."""
        if len(frame) != _LENGTH or not frame.startswith(_HEADER):
            raise FrameMalformed(f"{frame.hex(' ')} is no answer of an MH-Z19: 9 bytes, the first two FF 86")
        if frame[8] != checksum(frame):
            raise FrameMalformed(
                f"{frame.hex(' ')} has the wrong checksum: it says {frame[8]:02X}, its bytes give {checksum(frame):02X}"
            )
        return {"co2": Field(int.from_bytes(frame[2:4], "big"))}
