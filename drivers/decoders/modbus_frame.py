"""Modbus frames as a person has them: from a log, a manual, a bus monitor. Whole, or a sentence that says why not.

What surrounds a reply on real lines is passed over: the echo of the request, a greeting, noise. No I/O.
"""

from typing import Literal, TypeAlias

from drivers.decoders.frame import FRAME_LENGTH_MAX, FrameMalformed
from drivers.decoders.modbus_pdu import (
    PDU_LENGTH_MAX,
    Reply,
    Request,
    read_reply,
    read_request,
    reply_length,
    request_length,
)

# "rtu": unit, PDU, CRC (a serial line, or one behind a converter); "tcp": the header of Modbus/TCP, unit, PDU.
Framing: TypeAlias = Literal["rtu", "tcp"]

CRC_LENGTH = 2
# Transaction, protocol (always 0), length of what follows: the unit and the PDU.
MBAP_LENGTH = 6
# The shortest reply of all: unit, function, exception code, CRC.
RTU_LENGTH_MIN = 5


def crc16(data: bytes) -> bytes:
    """Return the CRC of an RTU frame, as its two bytes stand on the wire (the lower first)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def framing_of(frame: bytes) -> Framing:
    """Tell the two apart: a frame whose CRC is right is RTU; another that has the header of Modbus/TCP is that."""
    length = len(frame) - MBAP_LENGTH
    has_header = length > 2 and frame[2:6] == length.to_bytes(4, "big")
    return "tcp" if has_header and crc16(frame[:-CRC_LENGTH]) != frame[-CRC_LENGTH:] else "rtu"


def parse_request(frame: bytes, *, framing: Framing | None = None) -> Request:
    """Read a request's frame, without `framing` of the kind that it looks like. Raises FrameMalformed."""
    if (framing or framing_of(frame)) == "tcp":
        _, unit, pdu = _tcp_parts(frame)
        return read_request(unit, pdu)
    length = request_length(frame[1:])
    if length is None:
        raise FrameMalformed(f"{_shown(frame)} is no request: it begins like none, or is cut off")
    if len(frame) > 1 + length + CRC_LENGTH:
        raise FrameMalformed(
            f"{_shown(frame)} is longer than the request of {1 + length + CRC_LENGTH} bytes it begins with"
        )
    return read_request(frame[0], _rtu_pdu(frame, length))


def parse_response(frame: bytes, *, request: bytes | None = None, framing: Framing | None = None) -> Reply:
    """Read a reply's frame; `request` is the frame that asked, and says where the values stand.

    Of an RTU line this may be all that was heard: the first whole reply is taken, best one that fits the request.
    Raises ExceptionReply for a refusal; FrameMalformed for what is no reply or answers something else.
    """
    if len(frame) > FRAME_LENGTH_MAX:
        raise FrameMalformed(
            f"{len(frame)} bytes are no frame; the longest capture looked through has {FRAME_LENGTH_MAX}"
        )
    framing = framing or framing_of(frame)
    if request is None and framing == "rtu":
        request = _echo(frame)
    asked = None if request is None else _own_request(request, framing)
    if framing == "tcp":
        transaction, unit, pdu = _tcp_parts(frame)
        if request is not None and transaction != request[:2]:
            numbers = f"has the number {transaction.hex()}, the request {request[:2].hex()}"
            raise FrameMalformed(f"the frame answers another request: it {numbers}")
        return read_reply(unit, pdu, asked)
    start = _reply_start(frame, asked)
    if start is None:
        raise FrameMalformed(_why_none(frame.removeprefix(request or b""), is_request=frame == request))
    return read_reply(frame[start], _rtu_pdu(frame[start:], _pdu_length(frame, start)), asked)


def _own_request(frame: bytes, framing: Framing) -> Request:
    try:
        return parse_request(frame, framing=framing)
    except FrameMalformed as error:
        raise FrameMalformed(f"the request: {error}") from error


def _reply_start(frame: bytes, asked: Request | None) -> int | None:
    """Find the first whole reply, best one of the unit and function asked; None if there is none."""
    starts = [start for start in range(len(frame) - RTU_LENGTH_MIN + 1) if _is_whole(frame, start)]
    if asked is not None:
        fitting = (
            start for start in starts if frame[start] in {asked.unit, 0} and frame[start + 1] & 0x7F == asked.function
        )
        return next(fitting, starts[0] if starts else None)
    return starts[0] if starts else None


def _is_whole(frame: bytes, start: int) -> bool:
    length = _pdu_length(frame, start)
    end = start + 1 + length
    return 0 < length <= PDU_LENGTH_MAX and crc16(frame[start:end]) == frame[end : end + CRC_LENGTH]


def _pdu_length(frame: bytes, start: int) -> int:
    return reply_length(frame[start + 1 : start + 3]) or 0


def _echo(frame: bytes) -> bytes | None:
    """Return the request at the frame's beginning, sent back by the line; None if it begins with none."""
    end = 1 + (request_length(frame[1:]) or 0)
    is_request = end > 1 and crc16(frame[:end]) == frame[end : end + CRC_LENGTH]
    return frame[: end + CRC_LENGTH] if is_request else None


def _why_none(frame: bytes, *, is_request: bool) -> str:
    """Say what is wrong with bytes in which there is no reply."""
    if is_request:
        return "this is a request; if the line sent it back (echo), no reply followed"
    if not frame:
        return "there are no bytes"
    if len(frame) < RTU_LENGTH_MIN:
        return f"{_shown(frame)} is cut off: a reply has at least {RTU_LENGTH_MIN} bytes"
    length = reply_length(frame[1:3])
    if length is None:
        return f"there is no reply in {_shown(frame)}: {frame[1]} is no function of a reply"
    try:
        _rtu_pdu(frame, length)
    except FrameMalformed as error:
        return str(error)
    return f"there is no reply in {_shown(frame)}"


def _rtu_pdu(frame: bytes, length: int) -> bytes:
    """Return the PDU of so many bytes, after a look at the CRC behind it. Raises FrameMalformed."""
    end = 1 + length
    if len(frame) < end + CRC_LENGTH:
        raise FrameMalformed(
            f"{_shown(frame)} is cut off: it should have {end + CRC_LENGTH} bytes and has {len(frame)}"
        )
    found, right = frame[end : end + CRC_LENGTH], crc16(frame[:end])
    if found != right:
        raise FrameMalformed(f"the CRC of {_shown(frame)} is {found.hex()}; {right.hex()} would be right")
    return frame[1:end]


def _tcp_parts(frame: bytes) -> tuple[bytes, int, bytes]:
    """Return transaction number, unit and PDU of a Modbus/TCP frame. Raises FrameMalformed."""
    length = int.from_bytes(frame[4:6], "big")
    if frame[2:4] != b"\0\0" or not 2 <= length <= PDU_LENGTH_MAX + 1:
        raise FrameMalformed(f"{_shown(frame)} does not begin with the header of Modbus/TCP")
    if len(frame) != MBAP_LENGTH + length:
        raise FrameMalformed(
            f"{_shown(frame)} has {len(frame)} bytes; its header says {MBAP_LENGTH + length}: it is cut off or not alone"
        )
    return frame[:2], frame[6], frame[7:]


def _shown(frame: bytes) -> str:
    # Enough to recognise it by.
    return frame[:32].hex(" ") + (" …" if len(frame) > 32 else "")
