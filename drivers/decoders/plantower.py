"""Plantower PMSx003 particle sensors: frames of 32 bytes, thirteen numbers in each. No I/O.

The sensor gives each mass twice: `cf1`, calibrated with the factory's particles, and `atm`, for air outdoors. They
differ in dirty air; which one a point is has to be chosen. The `n...um` are numbers of particles larger than
so many micrometres in 0.1 L of air.
"""

import struct
from collections.abc import Mapping

from drivers.decoders.binary_frames import BinaryFrames
from drivers.decoders.frame import Field, FrameMalformed

# In passive mode the sensor speaks when it gets this; from the factory it is active and speaks by itself.
REQUEST = bytes.fromhex("42 4D E2 00 00 01 71")

# Start characters, and 28: how many bytes follow.
_HEADER = bytes.fromhex("42 4D 00 1C")
_FRAME = struct.Struct(">4x12H2xH")
_NAMES = (
    *("pm1_0_cf1", "pm2_5_cf1", "pm10_cf1"),
    *("pm1_0_atm", "pm2_5_atm", "pm10_atm"),
    *("n0_3um", "n0_5um", "n1_0um", "n2_5um", "n5_0um", "n10um"),
)


def checksum(frame: bytes) -> int:
    """Return what the last two bytes must be: all bytes before them, added up."""
    return sum(frame[:-2]) & 0xFFFF


class PlantowerDecoder(BinaryFrames):
    """Reads frames that come by themselves or were asked for."""

    def __init__(self) -> None:
        super().__init__(header=_HEADER, length=_FRAME.size, is_sound=_is_sound)

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the twelve numbers. Raises FrameMalformed."""
        if len(frame) != _FRAME.size or not frame.startswith(_HEADER):
            raise FrameMalformed(f"{frame.hex(' ')} is no frame of a PMSx003: 32 bytes, the first four 42 4D 00 1C")
        *numbers, said = _FRAME.unpack(frame)
        if said != checksum(frame):
            raise FrameMalformed(
                f"{frame.hex(' ')} has the wrong checksum: it says {said:04X}, its bytes give {checksum(frame):04X}"
            )
        return {name: Field(number) for name, number in zip(_NAMES, numbers, strict=True)}


def _is_sound(frame: bytes) -> bool:
    return frame[-2:] == checksum(frame).to_bytes(2, "big")
