"""Finds the end of an MQTT packet in a stream of bytes, and the head of a message that is too long. No I/O."""

from dataclasses import dataclass

CONNACK = 0x20
PUBLISH = 0x30
PINGREQ = b"\xc0\x00"
# The first byte and the length, whose last byte is the first below 128.
HEADER_LENGTH_MAX = 5
# As much of another service's greeting as a sentence for a person should hold.
GREETING_SHOWN_MAX = 20


class NoPacket(ValueError):  # noqa: N818 - what is there instead
    """These bytes are not how an MQTT packet begins."""


def check_greeting(stream: bytes | bytearray) -> None:
    """Raise NoPacket if the first bytes are no CONNACK: another service listens there."""
    if stream[0] != CONNACK:
        raise NoPacket(f"it began with {bytes(stream[:GREETING_SHOWN_MAX])!r}")


def packet_length(stream: bytes | bytearray) -> int | None:
    """Return how many bytes the packet at the start of a stream has, header included; None: too few bytes to say.

    Raises NoPacket.
    """
    remaining = 0
    for index in range(1, HEADER_LENGTH_MAX):
        if index >= len(stream):
            return None
        remaining |= (stream[index] & 0x7F) << 7 * (index - 1)
        if stream[index] < 0x80:
            return 1 + index + remaining
    raise NoPacket(f"{bytes(stream[:HEADER_LENGTH_MAX]).hex(' ')} is not how an MQTT packet begins")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongMessage:
    """A message that is longer than any of a device. Only its head is read."""

    topic: str
    # How many bytes its packet has.
    length: int
    quality: int
    # 0 with quality of service 0: nothing is to be acknowledged.
    packet_id: int


def long_message(stream: bytes | bytearray, length: int) -> LongMessage | None:
    """Read topic and packet id of the message at the start of a stream; None: too few bytes to say.

    Raises NoPacket if the packet is no message.
    """
    if stream[0] & 0xF0 != PUBLISH:
        raise NoPacket(f"a packet of type {stream[0] >> 4} with {length} bytes is none of MQTT's")
    start = next(index for index in range(1, HEADER_LENGTH_MAX) if stream[index] < 0x80) + 1
    if len(stream) < start + 2:
        return None
    topic_end = start + 2 + int.from_bytes(stream[start : start + 2])
    if len(stream) < topic_end + 2:
        return None
    quality = stream[0] >> 1 & 0b11
    return LongMessage(
        topic=stream[start + 2 : topic_end].decode(errors="replace"),
        length=length,
        quality=quality,
        packet_id=int.from_bytes(stream[topic_end : topic_end + 2]) if quality else 0,
    )
