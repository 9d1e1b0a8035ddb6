r"""What a person has in hand of a device, as it was typed or pasted: what a driver's `decode` hook is given. Public API.

A driver reads what it understands of it with `bytes_of`, `numbers_of` and `line_of`. Pure.
"""

import re
import string
from dataclasses import dataclass
from typing import Literal, TypeAlias

RegisterTable: TypeAlias = Literal["coil", "discrete", "input", "holding"]

_SEPARATORS = re.compile(r"\\x|[\s:,;.-]+")
_HEXADECIMAL = frozenset(string.hexdigits)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}")
_ESCAPES = {r"\r": "\r", r"\n": "\n", r"\t": "\t"}
_ESCAPE = re.compile(r"\\[rnt]")
_ESCAPED_END = re.compile(r"(?:\\[rn])+\Z")
# Of a long text, its beginning is enough to find it again.
_QUOTED_MAX = 80


class Undecodable(ValueError):  # noqa: N818 - names the situation; the message says what is wrong
    """What was given holds no readings of the device. The message says why; the verb ends with exit code 1."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One of frame, registers, line or payload, and what places it. None = it was not given."""

    # Hexadecimal digits of a whole frame; see `bytes_of`.
    frame: str | None = None
    # Register values, decimal or 0x; see `numbers_of`.
    registers: str | None = None
    # A line of text, perhaps with its end typed as two characters; see `line_of`.
    line: str | None = None
    # A message's bytes, and the topic it came on.
    payload: bytes | None = None
    topic: str | None = None
    # What was asked, in the driver's own way to write it.
    request: str | None = None
    # Where the first register stands.
    table: RegisterTable | None = None
    start: int | None = None
    is_retained: bool = False
    # Milliseconds since 1970; None = just now, or whenever its own time says.
    received_at_ms: int | None = None
    # An IANA name, for times that are written without a zone.
    time_zone: str = "UTC"


def bytes_of(text: str) -> bytes:
    r"""Read hexadecimal digits: 01 04 02, 01:04:02, 0x01,0x04,0x02, \x01\x04\x02. Raises Undecodable."""
    digits = [part.removeprefix("0x").removeprefix("0X") for part in _SEPARATORS.split(text)]
    if any(len(part) % 2 or not _HEXADECIMAL.issuperset(part) for part in digits):
        raise Undecodable(f"{_quoted(text)} is not hexadecimal: two digits for each byte")
    return bytes.fromhex("".join(digits))


def numbers_of(text: str) -> list[int]:
    """Read registers: 305,546 or 0x0131 0x0222. Raises Undecodable."""
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if not parts:
        raise Undecodable("there are no registers")
    if not all(map(_NUMBER.fullmatch, parts)):
        raise Undecodable(f"{_quoted(text)} is no list of registers; write 305,546 or 0x0131,0x0222")
    numbers = [int(part, 16 if part[1:2] in {"x", "X"} else 10) for part in parts]
    wrong = next((number for number in numbers if number > 0xFFFF), None)
    if wrong is not None:
        raise Undecodable(f"{wrong} is no register: these are from 0 to 65535")
    return numbers


def line_of(text: str, *, is_json: bool = False) -> bytes:
    r"""Read a line, or several, as typed: \r, \n and \t may stand as two characters. In JSON only its end is ours."""
    pattern = _ESCAPED_END if is_json else _ESCAPE
    plain = pattern.sub(lambda found: _ESCAPE.sub(lambda one: _ESCAPES[one[0]], found[0]), text)
    # What a shell could not read as text comes back as the bytes it was.
    return plain.encode(errors="surrogateescape")


def _quoted(text: str) -> str:
    return repr(text) if len(text) <= _QUOTED_MAX else f"{text[:_QUOTED_MAX]!r}..."
