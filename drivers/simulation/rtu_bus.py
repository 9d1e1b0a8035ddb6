"""Modbus RTU as devices speak it: finds requests in a stream of bytes, and frames the answers. No I/O."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drivers.decoders.modbus_frame import CRC_LENGTH, crc16
from drivers.simulation.line import Utterance, disturbed
from drivers.simulation.modbus_units import ModbusUnits

# A frame has no longer pause within itself; what is older is the beginning of a torn one.
PAUSE_S_MAX = 0.1
FRAME_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class _Request:
    frame: bytes
    end: int


class RtuBus:
    """The devices of one RTU line, and what arrived of the next request. Implements Speaker."""

    def __init__(self, units: ModbusUnits, *, seed: int = 0) -> None:
        self._units = units
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._pending = b""
        self._heard_s = 0.0

    def heard(self, data: bytes, now_s: float) -> Sequence[Utterance]:
        """Take what arrived; return the answers to the requests that are whole now."""
        if now_s - self._heard_s > PAUSE_S_MAX:
            self._pending = b""
        self._heard_s = now_s
        self._pending += data
        said: list[Utterance] = []
        for request in _requests(self._pending):
            self._pending = self._pending[request.end :]
            said += self._answer(request.frame)
        self._pending = self._pending[-FRAME_LENGTH_MAX:]
        return said

    def beat(self, now_s: float) -> Sequence[Utterance]:  # noqa: ARG002 - Speaker's signature
        """Say nothing: RTU devices only answer."""
        return ()

    def _answer(self, frame: bytes) -> Sequence[Utterance]:
        address = frame[:1]
        reply = self._units.reply(frame[0], frame[1:-CRC_LENGTH])
        if reply is None:
            return ()
        answer = address + reply.pdu
        return disturbed(answer + crc16(answer), reply.fault, self._chance, question=frame)


def _requests(pending: bytes) -> Iterator[_Request]:
    """Find whole requests, passing over what is none; each `end` counts from the end of the one before."""
    first = 0
    start = 0
    while start + 4 <= len(pending):
        length = _length(pending[start:])
        frame = pending[start : start + length]
        if len(frame) == length and crc16(frame[:-CRC_LENGTH]) == frame[-CRC_LENGTH:]:
            yield _Request(frame, start + length - first)
            first = start = start + length
        else:
            start += 1


def _length(data: bytes) -> int:
    """Return the length of a request with this begin; one of an unknown function ends with the data."""
    function = data[1]
    if function in {15, 16}:
        return 9 + data[6] if len(data) > 6 else FRAME_LENGTH_MAX
    return 8 if 1 <= function <= 6 else len(data)
