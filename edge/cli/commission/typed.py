"""What a person types or pastes on the command line, as bytes, registers and lines."""

import re
import string

from drivers.decoders.line_frames import excerpt

_SEPARATORS = re.compile(r"\\x|[\s:,;.-]+")
_HEXADECIMAL = frozenset(string.hexdigits)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}")
_ESCAPES = {r"\r": "\r", r"\n": "\n", r"\t": "\t"}
_ESCAPE = re.compile(r"\\[rnt]")
_ESCAPED_END = re.compile(r"(?:\\[rn])+\Z")


class Undecodable(ValueError):  # noqa: N818 - names the situation; the message says what is wrong
    """This gives no readings of the device."""


def bytes_of(text: str) -> bytes:
    r"""Read hexadecimal digits: 01 04 02, 01:04:02, 0x01,0x04,0x02, \x01\x04\x02. Raises Undecodable."""
    digits = [part.removeprefix("0x").removeprefix("0X") for part in _SEPARATORS.split(text)]
    if any(len(part) % 2 or not _HEXADECIMAL.issuperset(part) for part in digits):
        raise Undecodable(f"{excerpt(text)} is not hexadecimal: two digits for each byte")
    return bytes.fromhex("".join(digits))


def numbers_of(text: str) -> list[int]:
    """Read registers: 305,546 or 0x0131 0x0222. Raises Undecodable."""
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if not parts:
        raise Undecodable("there are no registers")
    if not all(map(_NUMBER.fullmatch, parts)):
        raise Undecodable(f"{excerpt(text)} is no list of registers; write 305,546 or 0x0131,0x0222")
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
