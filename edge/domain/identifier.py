"""Ids: what people name things, and what makes an event unique."""

import re
import uuid

IDENTIFIER_LENGTH_MAX = 64
# No dots: they separate the parts of stream names.
IDENTIFIER_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

_IDENTIFIER = re.compile(IDENTIFIER_PATTERN, re.ASCII)


def is_identifier(text: str) -> bool:
    """Whether text may name a site, gateway, connection, device or point."""
    return _IDENTIFIER.fullmatch(text) is not None


def uuid7(unix_ms: int, randomness: bytes) -> uuid.UUID:
    """Make a time-ordered UUID of version 7 (RFC 9562, section 5.7).

    `randomness` is 10 bytes; 74 of their bits are used. The standard library has this from Python 3.14 on.
    """
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(randomness, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)
